"""A cell whose spawn was given up before its answer came does not stay."""

import asyncio
import socket
import time
import unittest

from . import support
from .support import Liar, read_request
import pyisolate as iso
from pyisolate import aio


class Swallower:
    """Between a client and the real node: the first answer does not come through, or as ``first`` has it."""

    def __init__(self, address, first=lambda client, answer: None):
        self._node = address.path
        self._first = first
        self.swallowed = []

    def __call__(self, client):
        while request := read_request(client):
            with socket.socket(socket.AF_UNIX) as node:
                node.connect(self._node)
                node.sendall(request)
                answer = read_request(node)  # answers are of the same form
            if self.swallowed:
                client.sendall(answer)
            else:
                self.swallowed.append(answer)
                self._first(client, answer)


class OrphanTest(support.NodeTestCase):
    def gone(self, name):
        until = time.monotonic() + 20
        while name in iso.list_active():
            self.assertLess(time.monotonic(), until, "the cell stays")
            time.sleep(0.02)

    def between(self, *first):
        swallow = Swallower(self.client.address, *first)
        return swallow, Liar(swallow)

    def test_blocking(self):
        swallow, liar = self.between()
        with liar, iso.Client(f"unix://{liar.path}") as client:
            with self.assertRaises(iso.Timeout):
                iso.spawn("orphan", client=client, timeout=1)
            self.assertIn(b"200 OK", swallow.swallowed[0])  # there was one
            self.gone("orphan")

    def test_half_an_answer(self):
        def half(client, answer):
            client.sendall(answer[:-1])
            client.shutdown(socket.SHUT_WR)

        swallow, liar = self.between(half)
        with liar, iso.Client(f"unix://{liar.path}") as client:
            with self.assertRaises(iso.ProtocolError):
                iso.spawn("orphan", client=client)
            self.assertIn(b"200 OK", swallow.swallowed[0])
            self.gone("orphan")

    def test_cancelled_coroutine(self):
        swallow, liar = self.between()

        async def main():
            async with aio.Client(f"unix://{liar.path}") as client:
                task = asyncio.ensure_future(aio.spawn("orphan", client=client)._start())
                while not swallow.swallowed:
                    await asyncio.sleep(0.01)
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task

        with liar:
            asyncio.run(main())
            self.assertIn(b"200 OK", swallow.swallowed[0])
            self.gone("orphan")

    def test_of_somebody_else(self):
        """A name that is another's is refused, and the other's cell stays."""
        with iso.spawn("orphan"):
            _, liar = self.between()
            with liar, iso.Client(f"unix://{liar.path}") as client:
                with self.assertRaises(iso.Timeout):
                    iso.spawn("orphan", client=client, timeout=1)
                for thread in support.threads("pyisolate-orphan"):
                    thread.join(20)
            self.assertIn("orphan", iso.list_active())


if __name__ == "__main__":
    unittest.main()
