import signal

import numpy as np
import pytest
from in_process_hosts import on_all_hosts

from gaussian_processes.cluster.hosts import Hosts
from gaussian_processes.gp.kernels import ArcCosine
from gaussian_processes.gp.regression import GramMatrix
from gaussian_processes.resources import available_cpus


def ends(processes, timeout=60):
    outputs = [process.communicate(timeout=timeout)[0] for process in processes]
    return [process.returncode for process in processes], outputs


def test_hosts_find_each_other_and_work_as_one(names, start):
    # The leader comes last, and the list has another order on every host.
    processes = [start(names[::-1], names[2], "numbers"), start(names, names[1], "numbers")]
    processes.append(start(names, names[0], "numbers"))

    codes, outputs = ends(processes)

    points = np.random.default_rng(300).normal(size=(300, 5))
    points /= np.linalg.norm(points, axis=1)[:, np.newaxis]
    square = GramMatrix(ArcCosine(1, 1), points, 0.01).block(slice(0, 300), slice(0, 300))
    assert codes == [0, 0, 0]
    assert outputs[0] == outputs[1] == outputs[2]
    determinant, trace = map(float, outputs[0].splitlines()[0].split())
    assert determinant == pytest.approx(np.linalg.slogdet(square)[1], rel=1e-9)
    assert trace == pytest.approx(np.trace(np.linalg.inv(square)), rel=1e-9)
    assert outputs[0].splitlines()[1] == "0 1 4 9 16 25 36 49 64 81"
    y = np.linspace(-1, 1, 300)
    energy = float(outputs[0].splitlines()[2])
    assert energy == pytest.approx(y @ np.linalg.solve(square, y), rel=1e-9)
    assert outputs[0].splitlines()[3].startswith("row 5 is")
    # What a host cannot read is no loss of that host.
    assert outputs[0].splitlines()[4].startswith("FileNotFoundError(")


@pytest.mark.parametrize("victim", [0, 2], ids=["the leader", "another host"])
def test_a_host_that_is_killed_ends_all_others_with_a_failure(names, start, victim):
    processes = [start(names, name, "wait") for name in names]
    for process in processes:
        assert process.stdout.readline() == "waiting\n"

    processes[victim].send_signal(signal.SIGKILL)
    codes, outputs = ends(processes)

    others = [index for index in range(3) if index != victim]
    assert [codes[index] for index in others] == [1, 1]
    for index in others:
        assert outputs[index].startswith(f"host {names[victim]} was lost: ")


def test_hosts_that_are_slow_to_answer_end_in_the_same_words_as_well(names, start):
    processes = [start(names, names[0], "wait"), start(names, names[1], "fail_when_asked")]
    processes.append(start(names, names[2], "wait"))
    for process in processes:
        assert process.stdout.readline() == "waiting\n"

    # As if all cores were busy with other processes.
    for process in (processes[0], processes[2]):
        process.send_signal(signal.SIGSTOP)
    processes[1].stdin.write("fail\n")
    processes[1].stdin.flush()
    assert processes[1].stdout.readline() == "failing\n"
    for process in (processes[2], processes[0]):
        process.send_signal(signal.SIGCONT)
    codes, outputs = ends(processes)

    assert codes == [1, 1, 1]
    assert outputs == ["a bad row\n"] * 3


def test_an_exception_on_one_host_ends_all_in_the_same_words(names, start):
    processes = [start(names, name, "fail") for name in names[:2]]
    processes.append(start(names, names[2], "wait"))

    codes, outputs = ends(processes)

    assert codes == [1, 1, 1]
    # The end may come before a host has said that it waits.
    assert all(set(output.splitlines()) - {"waiting"} == {"a bad row"} for output in outputs)


def test_a_host_that_never_comes_ends_all_in_the_same_words(names, start):
    # The leader's patience counts; the other host's is with the leader, which may start later.
    processes = [start(names, names[0], "wait", patience=3), start(names, names[1], "wait")]

    codes, outputs = ends(processes)

    assert codes == [1, 1]
    assert outputs[0] == outputs[1]
    assert outputs[0].startswith(f"host {names[2]} did not come within 3 s: ")


def test_another_list_of_hosts_is_refused(names, start):
    processes = [start(names[:2], names[0], "wait"), start(names, names[1], "wait")]

    codes, outputs = ends(processes)

    assert codes == [1, 1]
    assert "give all hosts the same list" in outputs[0]
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("shared", [Hosts.map, Hosts.map_on_cores])
def test_each_item_is_computed_once_and_every_host_has_all_results(shared):
    computed = []

    def square(item):
        computed.append(item)
        return item**2

    found, _ = on_all_hosts(3, lambda exchange: list(shared(Hosts(exchange), square, range(20))))

    assert sorted(computed) == list(range(20))
    assert found == [[item**2 for item in range(20)]] * 3
    assert list(shared(Hosts(), square, [3])) == [9]
    assert list(shared(Hosts(), square, [])) == []


def test_what_others_may_still_be_fetching_does_not_change():
    def run(exchange):
        return list(Hosts(exchange).map(lambda item: item, range(20)))

    _, hosts = on_all_hosts(3, run)

    # Every host still offers what it computed itself, and no item twice.
    offered = [max(host.offers.items())[1]() for host in hosts]
    assert sorted(index for results in offered for index in results) == list(range(20))


def test_who_fails_on_one_item_begins_no_other():
    begun = []

    def refuse(item):
        begun.append(item)
        raise ValueError(f"item {item} is refused")

    with pytest.raises(ValueError, match="is refused"):
        list(Hosts().map_on_cores(refuse, range(20)))

    assert len(begun) <= available_cpus()
