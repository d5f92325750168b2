"""The asyncio client: the same calls as the blocking one, on asyncio's streams.

Not on threads: a coroutine that is cancelled closes its connection, so that the node ends what
it does for it, and a thousand calls that wait need no thousand threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import time
import weakref
from types import TracebackType
from typing import Any, AsyncGenerator, Dict, Generic, Iterator, List, Optional, Tuple, Type, TypeVar, Union

from . import _address, _client, _http, errors
from ._calls import Call
from ._connection import Lost, tls_context, unreachable

T = TypeVar("T")

_IDLE = 64
_PIECE = 256 << 10
_CONNECT = 10.0

_Streams = Tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Client:
    """A node, for the coroutines of one event loop. Otherwise as :class:`pyisolate.Client`."""

    def __init__(
        self,
        server: Union[str, _address.Address],
        token: Optional[str] = None,
        *,
        max_message: int = _http.MAX_MESSAGE,
    ) -> None:
        if isinstance(server, str):
            found = _address.resolve(server, token)
            assert found is not None  # a server is given
            server = found
        self.address = server
        self._max = max_message
        self._idle: List[_Streams] = []
        self._closed = False
        self._pid = os.getpid()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__} {self.address}>"

    async def close(self) -> None:
        """Closes its connections. Cells go on."""
        self._closed = True
        idle, self._idle = self._idle, []
        for _, writer in idle:
            writer.close()
        # The loop closes the sockets in its next rounds.
        await asyncio.gather(*(w.wait_closed() for _, w in idle), return_exceptions=True)

    async def do(self, call: Call[T], token: Optional[str] = None) -> T:
        """Carries a call out and returns its result."""
        until = None if call.timeout is None else time.monotonic() + call.timeout
        for attempt in range(_client.RETRIES + 1):
            try:
                return call.decode(await self._once(call, until, token))
            except Lost as lost:
                _client.give_up(call, self.address, lost, attempt)
                if attempt:
                    await asyncio.sleep(_client.BACKOFF)
        raise AssertionError("unreachable")

    async def _once(self, call: Call[T], until: Optional[float], token: Optional[str]) -> Dict[str, Any]:
        left = None if until is None else until - time.monotonic()
        if left is not None and left <= 0:
            raise errors.Timeout(f"{call.procedure}: not done in {call.timeout:g} s")
        told, wait = _http.split_deadline(left)
        request = _client.request(self.address, call, told, token, stream=False)
        response = _http.Response(self._max)
        streams = await self._take(left)
        try:
            body = await asyncio.wait_for(_exchange(streams, request, response), wait)
        except asyncio.TimeoutError:
            streams[1].transport.abort()
            raise errors.Timeout(f"{call.procedure}: the node did not answer in time") from None
        except BaseException:
            # Also when the coroutine is cancelled: the node ends what it does for it.
            streams[1].transport.abort()
            raise
        if response.keep_alive and not self._closed and len(self._idle) < _IDLE:
            self._idle.append(streams)
        else:
            streams[1].close()
        return _http.answer(response, body)

    async def _take(self, timeout: Optional[float]) -> _Streams:
        if self._closed:
            raise errors.Unavailable("the client is closed")
        if os.getpid() != self._pid:
            self._idle, self._pid = [], os.getpid()  # a forked child opens its own
        while self._idle:
            streams = self._idle.pop()
            if not _stale(streams):
                return streams
            streams[1].close()
        return await open_streams(self.address, timeout)

    def stream(self, call: Call[T]) -> "Stream[T]":
        """A call whose answer is a stream; it begins with the first item that is asked for."""
        return Stream(self.address, call, self._max)

    async def upload(self, call: Call[T], more: Iterator[Dict[str, Any]]) -> T:
        """Carries a call out whose request is a stream, as :meth:`pyisolate.Client.upload`, and like that
        in a thread: ``more`` may block, and asyncio loses an answer that comes before a connection breaks."""
        upload = _client.Upload(self.address, self._max)
        doing: "asyncio.Future[Any]" = asyncio.get_running_loop().run_in_executor(None, upload.run, call, more)
        try:
            await asyncio.wait([doing])  # which, cancelled, leaves it be, as shield does, and says nothing of it
            done: T = doing.result()
            return done
        except asyncio.CancelledError:
            upload.break_off()
            await asyncio.gather(doing, return_exceptions=True)
            raise


async def _drained(writer: asyncio.StreamWriter) -> bool:
    """Waits until more can be written; False: no more of it is wanted."""
    try:
        await writer.drain()
        return True
    except (BrokenPipeError, ConnectionResetError):
        return False  # perhaps it has answered before it hung up: reading tells
    except OSError as error:
        raise Lost.by(error) from error


class Stream(Generic[T]):
    """What a node sends, one item after the other: an asynchronous iterator and context manager."""

    def __init__(self, address: _address.Address, call: Call[T], most: int) -> None:
        self._address = address
        self._call = call
        self._response = _http.Response(1 << 62)
        self._messages = _http.Messages(self._response, most)
        self._streams: Optional[_Streams] = None
        self._ready: List[T] = []
        self._closed = False

    async def __aenter__(self) -> "Stream[T]":
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def __aiter__(self) -> "Stream[T]":
        return self

    async def __anext__(self) -> T:
        try:
            while not self._ready:
                if self._closed:
                    raise StopAsyncIteration
                await self._fill()
        except Lost as lost:
            self.close()
            raise errors.Unavailable(f"{self._call.procedure}: {lost}") from lost
        except asyncio.CancelledError:
            raise  # nothing is lost: the stream goes on, if that is wanted
        except BaseException:
            self.close()
            raise
        return self._ready.pop(0)

    async def next(self, timeout: Optional[float] = None) -> Optional[T]:
        """The next item; None: the stream has ended. Timeout: nothing came in time."""
        try:
            return await asyncio.wait_for(self.__anext__(), timeout)
        except asyncio.TimeoutError:
            raise errors.Timeout(f"{self._call.procedure}: nothing came in time") from None
        except StopAsyncIteration:
            return None

    def close(self) -> None:
        """Ends it. What was not taken is lost."""
        self._closed = True
        if self._streams is not None:
            _abort(self._streams)
            self._streams = None

    def __del__(self) -> None:
        # Who leaves an iteration early has no name for the stream any more.
        if self._streams is not None and not self._streams[1].is_closing():
            _abort(self._streams)

    async def _fill(self) -> None:
        if self._streams is None:
            self._streams = await open_streams(self._address)
            self._streams[1].write(_client.request(self._address, self._call, None, None, stream=True))
        # First what is here: how the stream ended waits behind what came before it.
        if not self._take_in(b""):
            self._take_in(await _receive(self._streams[0], self._response))

    def _take_in(self, data: bytes) -> bool:
        """Takes what was received, and tells whether there is an item or the end."""
        self._ready = [self._call.decode(m) for m in self._messages.feed(data)]
        if self._messages.ended:
            self.close()
        return bool(self._ready) or self._messages.ended


def _abort(streams: _Streams) -> None:
    with contextlib.suppress(RuntimeError):  # its loop is closed: the connection ends with the object
        streams[1].transport.abort()


def _stale(streams: _Streams) -> bool:
    """Whether the other end has closed an idle connection, or says something that nobody asked
    for, which would be taken for the next answer."""
    reader, writer = streams
    # What has arrived is in the reader, or not yet taken from the socket. asyncio has no other
    # name for the first.
    if reader.at_eof() or writer.is_closing() or getattr(reader, "_buffer", True):
        return True
    try:
        poll = select.poll()
        poll.register(writer.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))
    except (OSError, ValueError):
        return True


async def _exchange(streams: _Streams, request: bytes, response: _http.Response) -> bytes:
    reader, writer = streams
    writer.write(request)
    await _drained(writer)
    parts: List[bytes] = []
    size = 0
    while not response.complete:
        part = await _receive(reader, response)
        if part:
            size += len(part)
            response.limited(size)
            parts.append(part)
    return b"".join(parts)


async def _receive(reader: asyncio.StreamReader, response: _http.Response) -> bytes:
    try:
        data = await reader.read(_PIECE)
    except OSError as error:
        raise Lost.by(error) from error
    if data:
        return response.feed(data)
    if not response.started:
        raise Lost.by()
    response.eof()
    return b""


async def open_streams(address: _address.Address, timeout: Optional[float] = None) -> _Streams:
    """A connection; Unavailable if there is none."""
    try:
        if address.path:
            opening = asyncio.open_unix_connection(address.path, limit=_PIECE)
        else:
            tls = tls_context(address) if address.tls else None
            opening = asyncio.open_connection(address.host, address.port, limit=_PIECE, ssl=tls)
        return await asyncio.wait_for(opening, _CONNECT if timeout is None else min(_CONNECT, timeout))
    except asyncio.TimeoutError:
        raise errors.Unavailable(f"node {address}: no connection in time") from None
    except OSError as error:
        raise unreachable(address, error) from error


_Kept = Tuple[Client, AsyncGenerator[None, None]]
# All of a loop, as sandboxes of one live on when another node becomes the default.
_Defaults = Dict[_address.Address, _Kept]
_defaults: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Defaults]" = weakref.WeakKeyDictionary()


def given(client: Optional[Client]) -> Optional[Client]:
    """A ``client=`` as it is; Invalid if it is something else."""
    if client is not None and not isinstance(client, Client):
        raise errors.Invalid(
            f"client is what pyisolate.aio.connect(server), awaited, returns, and not of {type(client)!r}"
        )
    return client


async def chosen(client: Optional[Client]) -> Client:
    """The client of a ``client=``, or the default."""
    return given(client) or await default()


async def default() -> Client:
    """The client of the running event loop, of the node that :func:`pyisolate.connect` finds."""
    loop = asyncio.get_running_loop()
    # A private node may have to be started, which can take seconds.
    blocking = _client.known_default()
    if blocking is None:
        blocking = await loop.run_in_executor(None, _client.default)
    for old in [ref() for ref in _defaults.keyrefs()]:
        if old is not None and old.is_closed():  # without a word to its generators, which keep it here
            _defaults.pop(old, None)
    of_loop = _defaults.setdefault(loop, {})
    known = of_loop.get(blocking.address)
    if known is not None:
        return known[0]
    made = Client(blocking.address)
    ending = _at_shutdown(made, of_loop)
    of_loop[blocking.address] = made, ending
    await ending.__anext__()
    return made


async def _at_shutdown(client: Client, of_loop: _Defaults) -> AsyncGenerator[None, None]:
    """Closes a client when its loop shuts its generators down: there is no other sign of that.
    A generator that has begun knows its loop: kept any longer, it would keep that."""
    try:
        yield
    finally:
        del of_loop[client.address]
        await client.close()
