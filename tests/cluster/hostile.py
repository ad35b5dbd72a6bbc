"""Attacks on the ports of a job's hosts: `hostile.py MARK SECRET HOST:PORT…` sends each a program.

It makes the folder MARK where it is run. Prints what became of every attack.
"""

import asyncio
import os
import ssl
import sys

from distributed.comm.tcp import TCP
from distributed.protocol import to_serialize
from tornado.iostream import StreamClosedError
from tornado.tcpclient import TCPClient

from gaussian_processes.cluster import tls

HELLO = {"compression": None, "python": tuple(sys.version_info)[:3], "pickle-protocol": 5}


class Mark:
    def __reduce__(self):
        return os.mkdir, (sys.argv[1],)


def encrypted():
    """TLS of somebody who trusts everybody, but has no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def guessed(secret):
    """TLS with the certificate of a secret."""
    context = tls.security(secret).get_connection_args("client")["ssl_context"]
    context.verify_mode = ssl.CERT_NONE
    return context


async def wait_until_open(address, port):
    """Wait until somebody listens: who is not there yet refuses nobody."""
    while True:
        try:
            _, writer = await asyncio.open_connection(address, port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return


async def attack(address, port, context):
    try:
        stream = await TCPClient().connect(address, port, ssl_options=context)
    # A host without TLS speaks first: Tornado begins no TLS where bytes have come already.
    except (OSError, StreamClosedError, ValueError):
        return "refused"
    try:
        comm = TCP(stream, "tcp://nobody", f"tcp://{address}:{port}")
        await comm.write({**HELLO, "data": to_serialize(Mark())}, serializers=["pickle"])
        await comm.read()
        await comm.write({"op": "identity"})
        await comm.read()
    except (OSError, StreamClosedError):
        return "refused"
    return "answered"


async def main():
    contexts = {"plain": None, "encrypted": encrypted(), "guessed": guessed(sys.argv[2])}
    for place in sys.argv[3:]:
        address, port = place.split(":")
        async with asyncio.timeout(60):
            await wait_until_open(address, int(port))
        for kind, context in contexts.items():
            print(place, kind, await attack(address, int(port), context))


if __name__ == "__main__":
    asyncio.run(main())
