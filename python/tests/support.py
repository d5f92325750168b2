"""What the tests share: a real node, and servers that are none."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import unittest
from typing import Callable, List, Optional

KEPT = ("PYISOLATE_NODE", "PYISOLATE_CACHE", "PYISOLATE_PYTHON")
for name in [n for n in os.environ if n.startswith("PYISOLATE_") and n not in KEPT]:
    del os.environ[name]
# Where nobody's contexts and nodes are.
os.environ["XDG_CONFIG_HOME"] = os.environ["XDG_RUNTIME_DIR"] = tempfile.mkdtemp(prefix="pyisolate-test-")

import pyisolate as iso  # noqa: E402  # after the environment is as it should be
from pyisolate import _node  # noqa: E402


class NodeTestCase(unittest.TestCase):
    """A test with the private node of this process, which all such tests share."""

    client: iso.Client

    @classmethod
    def setUpClass(cls) -> None:
        try:
            cls.client = iso.Client._at(_node.private().address)
        except iso.NodeMissing as error:
            raise unittest.SkipTest(str(error)) from None
        iso.set_default(cls.client)

    def tearDown(self) -> None:
        left = iso.list_active()
        for cell in left.values():
            cell.kill("its test is over")
            cell.close()


def keeps_events() -> bool:
    """Whether the node tells of what happens to cells."""
    with iso.spawn(), iso.events(follow=False) as events:
        return any(isinstance(e, iso.Event) and e.kind == "CELL_STARTED" for e in events)


def threads(name: str) -> List[threading.Thread]:
    """The threads that have that name."""
    return [t for t in threading.enumerate() if t.name == name]


class Liar:
    """A server on a unix socket that does what a test wants with each connection."""

    def __init__(self, act: Callable[[socket.socket], None]) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="pyisolate-liar-")
        self.path = os.path.join(self._directory.name, "s")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(16)
        self._act = act
        self._open: List[socket.socket] = []
        self.connections = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Liar":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for c in self._open:
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            c.close()
        self._thread.join(10)
        self._directory.cleanup()

    def _serve(self) -> None:
        while True:
            try:
                c, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(c)
            threading.Thread(target=self._one, args=(c,), daemon=True).start()

    def _one(self, c: socket.socket) -> None:
        try:
            self._act(c)
        except OSError:
            pass  # the client has hung up, as it should


def read_request(c: socket.socket) -> bytes:
    """One request with its body; empty if the client hung up."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = c.recv(65536)
        if not part:
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    while len(body) < length:
        part = c.recv(65536)
        if not part:
            return b""
        body += part
    return head + b"\r\n\r\n" + body


def answering(answer: bytes, close: bool = True) -> Callable[[socket.socket], None]:
    """Gives every request the same answer."""

    def act(c: socket.socket) -> None:
        while read_request(c):
            c.sendall(answer)
            if close:
                c.shutdown(socket.SHUT_WR)
                return

    return act


def ok(body: bytes, more: str = "") -> bytes:
    """A good answer with a body."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def stream_of(*messages: bytes, end: Optional[bytes] = b"{}") -> bytes:
    """The answer of a stream, with its end unless that is None."""
    parts = [b"\0" + len(m).to_bytes(4, "big") + m for m in messages]
    if end is not None:
        parts.append(b"\2" + len(end).to_bytes(4, "big") + end)
    body = b"".join(parts)
    chunked = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/connect+json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + chunked + b"0\r\n\r\n"
