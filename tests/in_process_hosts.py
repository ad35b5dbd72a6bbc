"""Hosts of a job as threads of one process, whose exchange is a dictionary."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor


class InProcessExchange:
    def __init__(self, rank, hosts, size):
        self.rank, self.hosts, self.size = rank, hosts, size
        self.lock, self.offers, self.waiting, self.operations = threading.Lock(), {}, {}, 0

    def next_operation(self):
        self.operations += 1
        return self.operations

    def offer(self, key, answer):
        with self.lock:
            self.offers[key] = answer
            waiting = self.waiting.pop(key, [])
        for future, arguments in waiting:
            settle(future, answer, arguments)

    def request(self, rank, key, *arguments):
        assert rank != self.rank
        peer, future = self.hosts[rank], Future()
        with peer.lock:
            if key not in peer.offers:
                peer.waiting.setdefault(key, []).append((future, arguments))
                return future
        settle(future, peer.offers[key], arguments)
        return future

    def forget_before(self, operation):
        with self.lock:
            self.offers = {key: value for key, value in self.offers.items() if key[0] >= operation}


def settle(future, answer, arguments):
    try:
        future.set_result(answer(*arguments))
    except ValueError as error:
        future.set_exception(error)


def on_all_hosts(count, function):
    """Call `function(exchange)` on every host; return the results, and the exchanges."""
    hosts = []
    for rank in range(count):
        hosts.append(InProcessExchange(rank, hosts, count))
    with ThreadPoolExecutor(count) as pool:
        futures = [pool.submit(function, host) for host in hosts]
        return [future.result(timeout=60) for future in futures], hosts
