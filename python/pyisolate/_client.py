"""The blocking client: carries calls out, and knows which node a program means."""

from __future__ import annotations

import os
import threading
import time
from types import TracebackType
from typing import Any, Dict, Generic, Iterable, Iterator, List, Optional, Type, TypeVar

from . import _address, _http, _node, _trace, errors
from ._calls import Call
from ._connection import Connection, Lost, Pool

T = TypeVar("T")

RETRIES = 2  # of what may be repeated, after a connection was lost
BACKOFF = 0.05  # seconds, before the second


class Client:
    """A node, for calls of all threads.

    ``server`` is ``unix:///path``, ``https://host:port`` or, on this machine,
    ``http://host:port``; where it is not known, :func:`pyisolate.connect` finds it. ``token`` is what to show the
    node, where its own user and root need none. ``max_message`` bounds, in bytes, what one
    answer may have.
    """

    def __init__(
        self, server: str, token: Optional[str] = None, *, max_message: int = _http.MAX_MESSAGE
    ) -> None:
        address = _address.resolve(server, token)
        assert address is not None  # a server is given
        self._start(address, max_message)

    @classmethod
    def _at(cls, address: _address.Address) -> "Client":
        client = cls.__new__(cls)
        client._start(address, _http.MAX_MESSAGE)
        return client

    def _start(self, address: _address.Address, max_message: int) -> None:
        self.address = address
        self._max = max_message
        self._pool = Pool(address)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.address}>"

    def close(self) -> None:
        """Closes its connections. Cells go on."""
        self._pool.close()

    def do(self, call: Call[T], token: Optional[str] = None) -> T:
        """Carries a call out and returns its result."""
        until = None if call.timeout is None else time.monotonic() + call.timeout
        for attempt in range(RETRIES + 1):
            try:
                return call.decode(self._once(call, until, token))
            except Lost as lost:
                give_up(call, self.address, lost, attempt)
                if attempt:
                    time.sleep(BACKOFF)
        raise AssertionError("unreachable")

    def _once(self, call: Call[T], until: Optional[float], token: Optional[str]) -> Dict[str, Any]:
        left = None if until is None else until - time.monotonic()
        if left is not None and left <= 0:
            raise errors.Timeout(f"{call.procedure}: not done in {call.timeout:g} s")
        connection = self._pool.take(left)
        try:
            response = _http.Response(self._max)
            told, wait = _http.split_deadline(left)
            sent = request(self.address, call, told, token, stream=False)
            body = connection.exchange(sent, response, None if wait is None else time.monotonic() + wait)
        except BaseException:
            # Also when somebody presses Ctrl-C: the node ends what it does for us.
            connection.close()
            raise
        if response.keep_alive:
            self._pool.give_back(connection)
        else:
            connection.close()
        return _http.answer(response, body)

    def stream(self, call: Call[T]) -> "Stream[T]":
        """Begins a call whose answer is a stream, on a connection of its own."""
        connection = Connection(self.address, _CONNECT)
        try:
            connection.send(request(self.address, call, None, None, stream=True), time.monotonic() + _STALL)
        except Lost as lost:
            connection.close()
            raise errors.Unavailable(f"node {self.address}: {lost}") from lost
        except BaseException:
            connection.close()
            raise
        return Stream(connection, call, self._max)

    def upload(self, call: Call[T], more: Iterable[Dict[str, Any]]) -> T:
        """Carries a call out whose request is a stream, on a connection of its own: the call's body,
        and then ``more``, as far as the node wants it. What that raises breaks it off."""
        return Upload(self.address, self._max).run(call, more)


class Upload:
    """One call whose request is a stream."""

    def __init__(self, address: _address.Address, most: int) -> None:
        self._address, self._max = address, most
        self._connection: Optional[Connection] = None
        self._broken = False

    def run(self, call: Call[T], more: Iterable[Dict[str, Any]]) -> T:
        """As :meth:`Client.upload`; once."""
        told, wait = _http.split_deadline(call.timeout)
        until = None if wait is None else time.monotonic() + wait
        self._connection = connection = Connection(self._address, wait)
        try:
            if self._broken:  # before there was one
                connection.shut()
            going = connection.send(request(self._address, call, told, None, stream=True, more=True), until)
            for message in more:
                if not going or self._broken:
                    break
                going = connection.send(_http.message(_http.encode(message)), until)
            else:
                connection.send(_http.LAST, until)
            return call.decode(self._single(connection, until))
        except Lost as lost:
            give_up(call, self._address, lost, RETRIES)
            raise AssertionError("unreachable") from lost
        finally:
            connection.close()

    def break_off(self) -> None:
        """Has :meth:`run`, of another thread, fail soon."""
        self._broken = True
        if self._connection is not None:
            self._connection.shut()

    def _single(self, connection: Connection, until: Optional[float]) -> Dict[str, Any]:
        response = _http.Response(self._max)
        single, answer = _http.Single(response, self._max), None
        while answer is None:
            answer = single.feed(connection.receive(response, until))
        return answer


def request(
    address: _address.Address,
    call: Call[Any],
    told: Optional[int],
    token: Optional[str],
    stream: bool,
    more: bool = False,
) -> bytes:
    """The bytes of a call's request, or with ``more`` their beginning. ``told`` is its deadline in
    milliseconds."""
    return _http.request(
        address.authority, call.procedure, _http.encode(call.body),
        stream=stream, more=more, token=address.token if token is None else token, timeout_ms=told,
        trace=_trace.parent(),
    )  # fmt: skip


_LIMIT = "a node lets one user have 128 connections"


def give_up(call: Call[Any], address: _address.Address, lost: Lost, attempt: int) -> None:
    """Raises unless a call whose connection was lost is tried again."""
    if not call.repeatable:
        message = f"{call.procedure}: {lost}; whether it was done is not known"
        raise errors.UnknownOutcome(message, hint=_LIMIT) from lost
    if attempt == RETRIES:
        raise errors.Unavailable(f"node {address}: {lost}", hint=_LIMIT) from lost


_CONNECT = 10.0
_STALL = 30.0  # seconds that a message which has begun may rest


class Stream(Generic[T]):
    """What a node sends, one item after the other, until it ends or is closed.

    An iterator and a context manager. ``next(timeout)`` waits for so many seconds and raises
    :class:`Timeout` when there was nothing; the stream goes on. Of one thread at a time.
    """

    def __init__(self, connection: Connection, call: Call[T], most: int) -> None:
        self._connection: Optional[Connection] = connection
        self._call = call
        self._response = _http.Response(1 << 62)  # as long as it likes: its messages are bounded
        self._ready: List[T] = []
        self._messages = _http.Messages(self._response, most)

    def __enter__(self) -> "Stream[T]":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        item = self._take(None)
        if item is None:
            raise StopIteration
        return item

    def next(self, timeout: Optional[float] = None) -> Optional[T]:
        """The next item; None: the stream has ended. Timeout: nothing came in time."""
        return self._take(timeout)

    def close(self) -> None:
        """Ends it. What was not taken is lost."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __del__(self) -> None:
        self.close()  # who leaves an iteration early has no name for the stream any more

    def _take(self, timeout: Optional[float]) -> Optional[T]:
        until = None if timeout is None else time.monotonic() + timeout
        try:
            while not self._ready:
                if self._connection is None:
                    return None
                self._fill(self._connection, until)
        except errors.Timeout:
            raise
        except Lost as lost:
            self.close()
            raise errors.Unavailable(f"{self._call.procedure}: {lost}") from lost
        except BaseException:
            self.close()
            raise
        return self._ready.pop(0)

    def _fill(self, connection: Connection, until: Optional[float]) -> None:
        # First what is here: how the stream ended waits behind what came before it.
        if self._take_in(b""):
            return
        if not connection.readable(None if until is None else until - time.monotonic()):
            raise errors.Timeout(f"{self._call.procedure}: nothing came in time")
        self._take_in(connection.receive(self._response, time.monotonic() + _STALL))

    def _take_in(self, data: bytes) -> bool:
        """Takes what was received, and tells whether there is an item or the end."""
        self._ready = [self._call.decode(m) for m in self._messages.feed(data)]
        if self._messages.ended:
            self.close()
        return bool(self._ready) or self._messages.ended


_lock = threading.RLock()
_default: Optional[Client] = None


def connect(server: Optional[str] = None, token: Optional[str] = None) -> Client:
    """A client of a node. The server is, in this order: the argument; that of
    ``$PYISOLATE_SERVER``, ``$PYISOLATE_SOCKET`` or ``$PYISOLATE_CONTEXT``; the command line's
    current context; a node that listens where nodes do; and without any, a private node of
    this process, which is started now and ends with it. The token is the argument, that of
    ``$PYISOLATE_TOKEN`` or ``$PYISOLATE_TOKEN_FILE``, or the context's."""
    address = _address.resolve(server, token)
    return Client._at(_node.private().address if address is None else address)


def default() -> Client:
    """The client that is meant where none is given. One a process."""
    global _default
    with _lock:
        if _default is None or _node.ended(_default.address):
            _default = connect()
        return _default


def given(client: Optional[Client]) -> Optional[Client]:
    """A ``client=`` as it is; Invalid if it is something else."""
    if client is not None and not isinstance(client, Client):
        raise errors.Invalid(f"client is what pyisolate.connect(server) returns, and not of {type(client)!r}")
    return client


def chosen(client: Optional[Client]) -> Client:
    """The client of a ``client=``, or the default."""
    return given(client) or default()


def known_default() -> Optional[Client]:
    """That client if there is one, without starting anything."""
    return None if _default is None or _node.ended(_default.address) else _default


def set_default(client: Optional[Client]) -> None:
    """Makes a client the one that is meant where none is given; None: choose anew."""
    global _default
    with _lock:
        _default = client


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)
