"""Blocking connections to a node, and a pool of them that threads share."""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import socket
import threading
import time
import weakref
from typing import TYPE_CHECKING, List, Optional

from . import errors
from ._address import Address
from ._http import Response

if TYPE_CHECKING:
    import ssl

_CONNECT = 10.0  # seconds, at most
_LONGEST = 2e6  # seconds, 23 days: poll counts milliseconds in 31 bits
_IDLE = 16  # connections that wait for the next call
_PIECE = 256 << 10


class Lost(Exception):
    """The connection ended before its answer; the node may have the request."""

    @classmethod
    def by(cls, error: Optional[OSError] = None) -> "Lost":
        """What is said of it: of an error, or of none."""
        if error is None or isinstance(error, ConnectionError):
            return cls("the node has closed the connection without an answer")
        return cls(str(error))


class Connection:
    """One connection; of one call at a time."""

    def __init__(self, address: Address, timeout: Optional[float] = None) -> None:
        try:
            self.sock = _open(address, _CONNECT if timeout is None else max(0.001, min(_CONNECT, timeout)))
        except OSError as error:
            raise unreachable(address, error) from error

    def close(self) -> None:
        """Ends it; a call that is under way is cancelled."""
        self.sock.close()

    def shut(self) -> None:
        """Has whoever sends or receives, in another thread, find that it has ended."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)  # TLS says nothing before it

    def stale(self) -> bool:
        """Whether the other end has closed it, or says something that nobody asked for."""
        try:
            poll = select.poll()
            poll.register(self.sock, select.POLLIN)
            return bool(poll.poll(0))
        except (OSError, ValueError):
            return True

    def exchange(self, request: bytes, response: Response, until: Optional[float]) -> bytes:
        """Sends a request and returns the body of the answer."""
        self.send(request, until)
        parts: List[bytes] = []
        size = 0
        while not response.complete:
            part = self.receive(response, until)
            if part:
                size += len(part)
                response.limited(size)
                parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def send(self, request: bytes, until: Optional[float]) -> bool:
        """Sends a request, or a part of one. One whose answer comes before all of it is sent is no
        error here: that no more of it is wanted is False."""
        try:
            self._wait_until(until)
            self.sock.sendall(request)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False  # perhaps it has answered before it hung up: receive tells
        except socket.timeout:
            raise errors.Timeout("the node did not take the request in time") from None
        except OSError as error:
            raise Lost.by(error) from error

    def receive(self, response: Response, until: Optional[float]) -> bytes:
        """Feeds a response with what comes next, and returns what of it is body."""
        try:
            self._wait_until(until)
            data = self.sock.recv(_PIECE)
        except socket.timeout:
            raise errors.Timeout("the node did not answer in time") from None
        except OSError as error:
            raise Lost.by(error) from error
        if data:
            return response.feed(data)
        if not response.started:
            raise Lost.by()
        response.eof()
        return b""

    def readable(self, timeout: Optional[float]) -> bool:
        """Whether something comes within so many seconds."""
        pending = getattr(self.sock, "pending", None)
        if pending is not None and pending():
            return True
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(None if timeout is None else int(min(max(0.0, timeout), _LONGEST) * 1000 + 0.999)))

    def _wait_until(self, until: Optional[float]) -> None:
        if until is None:
            self.sock.settimeout(None)
            return
        left = until - time.monotonic()
        if left <= 0:
            raise socket.timeout
        self.sock.settimeout(min(left, _LONGEST))


def _open(address: Address, timeout: float) -> socket.socket:
    if address.path:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            sock.connect(address.path)
        except BaseException:
            sock.close()
            raise
        return sock
    sock = socket.create_connection((address.host, address.port), timeout)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return tls_context(address).wrap_socket(sock, server_hostname=address.host) if address.tls else sock
    except BaseException:
        sock.close()
        raise


def tls_context(address: Address) -> "ssl.SSLContext":
    """What to verify a server by."""
    import ssl  # it takes long, and few need it

    return ssl.create_default_context(cafile=address.ca or None)


def unreachable(address: Address, error: OSError) -> errors.PyIsolateError:
    """What to say when there is no connection."""
    if isinstance(error, socket.timeout):
        return errors.Unavailable(f"node {address}: no connection in time")
    if type(error).__module__ == "ssl":
        return errors.Unavailable(
            f"node {address}: {error}", hint="PYISOLATE_CA names a file of certificates to trust"
        )
    hint = "start one with: pyisolate-node serve"
    if isinstance(error, PermissionError):
        hint = "the socket's permissions do not let this user connect"
    return errors.Unavailable(f"no node is running at {address}: {error.strerror or error}", hint=hint)


class Pool:
    """Connections to one address, for calls of all threads. A forked child opens its own."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._lock = threading.Lock()
        self._idle: List[Connection] = []
        self._closed = False
        _pools.add(self)

    def take(self, timeout: Optional[float]) -> Connection:
        """A connection for one call."""
        while True:
            with self._lock:
                if self._closed:
                    raise errors.Unavailable("the client is closed")
                found = self._idle.pop() if self._idle else None
            if found is None:
                return Connection(self.address, timeout)
            if not found.stale():
                return found
            found.close()

    def give_back(self, connection: Connection) -> None:
        """Keeps a connection for the next call."""
        with self._lock:
            if not self._closed and len(self._idle) < _IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Closes what is idle; calls under way end by themselves."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for c in idle:
            c.close()

    def _forked(self) -> None:
        # The parent's lock may be held by a thread that is not here, and its connections are
        # the parent's: closing our copies does not end them.
        self._lock = threading.Lock()
        idle, self._idle = self._idle, []
        for c in idle:
            c.close()


_pools: "weakref.WeakSet[Pool]" = weakref.WeakSet()


def _after_fork() -> None:
    for pool in list(_pools):
        pool._forked()


def _at_exit() -> None:
    for pool in list(_pools):
        pool.close()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
