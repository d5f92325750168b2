"""HTTP/1.1 and the Connect protocol without any input or output.

Both the blocking and the asyncio transport feed what they receive to these classes, so that
one parser, and one set of bounds, judges every byte that a server sends. Nothing here trusts
a length that the server claims: what is too large is refused when it is announced, and what
has no announced size when it gets there.
"""

from __future__ import annotations

import json
import re
import struct
from typing import Any, Dict, List, Optional, Tuple

from . import _detail, _values, errors

#: bytes of a status line with its headers
MAX_HEAD = 64 << 10
#: bytes of one answer or message of a stream, unless a client says otherwise: a value has
#: 64 MiB at most, which as text within JSON can become twice as much
MAX_MESSAGE = 160 << 20

_MAX_LINE = 1 << 10  # of a chunk's size or a trailer
_MAX_INTERIM = 16
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [^\r\n]*)?\r?\n")
_LENGTH = re.compile(r"[0-9]{1,15}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_ONCE = ("content-length", "transfer-encoding")  # two that differ are an attack
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,12})[ \t]*(?:;[^\r\n]*)?")

# What an answer means that is not the node's own: that of a proxy, or of no node at all.
_STATUS_CODES = {
    400: "internal",
    401: "unauthenticated",
    403: "permission_denied",
    404: "unimplemented",
    413: "resource_exhausted",
    429: "unavailable",
    502: "unavailable",
    503: "unavailable",
    504: "unavailable",
}


def request(
    host: str,
    procedure: str,
    body: bytes,
    *,
    stream: bool,
    more: bool = False,
    token: str,
    timeout_ms: Optional[int],
    trace: Optional[str] = None,
) -> bytes:
    """A request for a call, ready to be sent. ``procedure`` is as "CellService/Exec". With
    ``more`` it is the beginning of one, before what :func:`message` makes and ``LAST``."""
    kind = "application/connect+json" if stream else "application/json"
    size = f"Content-Length: {len(body) + (5 if stream else 0)}"
    if more:
        body, size = message(body), "Transfer-Encoding: chunked"
    elif stream:
        body = _enveloped(body)
    head = (
        f"POST /pyisolate.v1.{procedure} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\n"
        f"{size}\r\nConnect-Protocol-Version: 1\r\n"
    )
    if token:
        head += f"Authorization: Bearer {token}\r\n"
    if trace:
        head += f"Traceparent: {trace}\r\n"
    if timeout_ms is not None:
        head += f"Connect-Timeout-Ms: {max(1, min(timeout_ms, 9_999_999_999))}\r\n"
    return head.encode("latin-1") + b"\r\n" + body


LAST = b"0\r\n\r\n"  # of a request in chunks


def message(body: bytes) -> bytes:
    """One message of a request that is a stream, as a chunk of it."""
    return b"%x\r\n%s\r\n" % (len(body) + 5, _enveloped(body))


def _enveloped(body: bytes) -> bytes:
    return struct.pack(">BI", 0, len(body)) + body


class Response:
    """One response, as it arrives. ``feed`` until ``complete``."""

    def __init__(self, max_body: int = MAX_MESSAGE) -> None:
        self.status = 0  # 0: the head is not there yet
        self.headers: Dict[str, str] = {}  # their names in lower case
        self.complete = False
        self.keep_alive = False  # after it is complete, the connection can be used again
        self.started = False  # something has arrived
        self._max = max_body
        self._buffer = bytearray()
        self._searched = 0  # so far into it for the end of the head
        self._interim = 0  # answers before the answer
        self._left = 0  # of the body, or of the chunk; -1: until the connection ends
        self._chunked = False
        self._trailers = -1  # how many were read; -1: it is not their turn
        self._after_chunk = False

    def feed(self, data: bytes) -> bytes:
        """Takes what was received and returns what of it is body."""
        self.started = True
        if self.status == 0:
            self._buffer += data
            if not self._head():
                return b""
            data, self._buffer = bytes(self._buffer), bytearray()
        if self._chunked:
            self._buffer += data
            return self._dechunk()
        return self._plain(data)

    def eof(self) -> None:
        """The connection has ended: which is the end of some bodies, and an error in others."""
        if self.status and not self._chunked and self._left < 0:
            self.complete = True
        if not self.complete:
            raise errors.ProtocolError("the connection ended in the middle of an answer")

    def limited(self, size: int) -> None:
        """Raises if a body of this size is too large."""
        if size > self._max:
            raise errors.ProtocolError(f"the answer has {size} bytes or more; {self._max} are the limit")

    def _head(self) -> bool:
        while True:
            end = self._buffer.find(b"\r\n\r\n", self._searched)
            self._searched = max(0, len(self._buffer) - 3)
            if end < 0:
                if len(self._buffer) > MAX_HEAD:
                    raise errors.ProtocolError(f"the head of the answer has more than {MAX_HEAD} bytes")
                if self._buffer[:5] != b"HTTP/"[: len(self._buffer)]:
                    raise errors.ProtocolError(
                        f"the answer begins with {bytes(self._buffer[:20])!r}: this is no HTTP server"
                    )
                return False
            head = bytes(self._buffer[: end + 4])
            del self._buffer[: end + 4]
            self._searched = 0
            line = _STATUS.match(head)
            if not line or len(head) > MAX_HEAD:
                raise errors.ProtocolError(
                    f"the answer begins with {head[:20]!r}: this is no HTTP/1.1 server"
                )
            status = int(line[2])
            if status >= 200:
                break
            self._interim += 1
            if self._interim > _MAX_INTERIM:
                raise errors.ProtocolError(f"the server asked to continue more than {_MAX_INTERIM} times")
        self.headers = _headers(head[line.end() : -4])
        self._framing(status, line[1] == b"1")
        self.status = status
        return True

    def _framing(self, status: int, http11: bool) -> None:
        self.keep_alive = http11 and "close" not in self.headers.get("connection", "").lower()
        coding, length = self.headers.get("transfer-encoding", "").lower(), self.headers.get("content-length")
        if status in (204, 304):
            self.complete = True
        elif coding:
            if coding != "chunked":
                raise errors.ProtocolError(f"the answer has the transfer encoding {coding[:40]!r}")
            self._chunked = True
        elif length is not None:
            if not _LENGTH.fullmatch(length):
                raise errors.ProtocolError(f"the answer has the length {length[:40]!r}")
            self._left = int(length)
            self.limited(self._left)
            self.complete = self._left == 0
        else:
            self._left, self.keep_alive = -1, False

    def _plain(self, data: bytes) -> bytes:
        if self._left < 0:
            return data
        if len(data) > self._left:
            self.keep_alive = False
            data = data[: self._left]
        self._left -= len(data)
        self.complete = self._left == 0
        return data

    def _dechunk(self) -> bytes:
        out: List[bytes] = []
        while not self.complete:
            if self._left:
                part = bytes(self._buffer[: self._left])
                if not part:
                    break
                out.append(part)
                del self._buffer[: len(part)]
                self._left -= len(part)
                self._after_chunk = self._left == 0
                continue
            end = self._buffer.find(b"\n")
            if end > _MAX_LINE or end < 0 and len(self._buffer) > _MAX_LINE:
                raise errors.ProtocolError("a line between the chunks of the answer is too long")
            if end < 0:
                break
            line = bytes(self._buffer[:end]).rstrip(b"\r")
            del self._buffer[: end + 1]
            self._between(line)
        if self.complete and self._buffer:
            self.keep_alive = False
        return b"".join(out)

    def _between(self, line: bytes) -> None:
        if self._trailers >= 0:
            self._trailers += 1
            self.complete = not line
            if self._trailers > 100:
                raise errors.ProtocolError("the answer has more than 100 trailers")
        elif self._after_chunk:
            if line:
                raise errors.ProtocolError("a chunk of the answer is longer than it says")
            self._after_chunk = False
        else:
            size = _CHUNK.fullmatch(line)
            if not size:
                raise errors.ProtocolError(f"a chunk of the answer has the size {line[:20]!r}")
            self._left = int(size[1], 16)
            if self._left == 0:
                self._trailers = 0


def _headers(head: bytes) -> Dict[str, str]:
    """The headers of a response. (The standard library's parser is one of mail, and takes
    most of the time of a call.)"""
    out: Dict[str, str] = {}
    for line in head.split(b"\r\n") if head else []:
        name, colon, value = line.partition(b":")
        key = name.decode("latin-1").lower()
        text = value.strip(b" \t").decode("latin-1")
        if not colon or not _TOKEN.fullmatch(key) or key in _ONCE and out.get(key, text) != text:
            raise errors.ProtocolError(f"the answer has the header {line[:40]!r}")
        out[key] = text
    return out


class Envelopes:
    """The messages of a stream, each with a flag and its length before it."""

    def __init__(self, max_message: int = MAX_MESSAGE) -> None:
        self._max = max_message
        self._buffer = bytearray()
        self.ended = False

    def feed(self, data: bytes) -> List[Dict[str, Any]]:
        """Takes what was received and returns the messages that are whole. Raises the error
        that a stream ended with, when no message is before it."""
        self._buffer += data
        out: List[Dict[str, Any]] = []
        while len(self._buffer) >= 5 and not self.ended:
            flags, size = struct.unpack_from(">BI", self._buffer)
            if flags not in (0, 2):
                raise errors.ProtocolError(
                    f"a message of the stream has the flags {flags:#x}: nobody asked for compression"
                )
            if size > self._max:
                raise errors.ProtocolError(
                    f"a message of the stream has {size} bytes; {self._max} are the limit"
                )
            if len(self._buffer) < 5 + size:
                break
            if flags == 2 and out:
                break  # its error comes when what is before it was taken
            message = bytes(self._buffer[5 : 5 + size])
            del self._buffer[: 5 + size]
            if flags == 2:
                self._end(message)
            else:
                out.append(json_object(message))
        return out

    def eof(self) -> None:
        """The connection has ended, or the response's body."""
        if not self.ended:
            how = "in the middle of a message" if self._buffer else "without saying how"
            raise errors.ProtocolError(f"the stream ended {how}")

    def _end(self, message: bytes) -> None:
        self.ended = True
        end = json_object(message)
        if end.get("error") is not None:
            raise _detail.of_json(end["error"])


class Messages:
    """The messages of a response that is a stream; raises what a call failed with instead."""

    def __init__(self, response: Response, max_message: int = MAX_MESSAGE) -> None:
        self._response = response
        self._envelopes = Envelopes(max_message)
        self._other = bytearray()  # the body of an answer that is no stream

    @property
    def ended(self) -> bool:
        """The stream has ended well."""
        return self._envelopes.ended

    def feed(self, data: bytes) -> List[Dict[str, Any]]:
        """Takes what of the response is body and returns the messages that are whole."""
        if self._response.status == 0:
            return []
        kind = _kind(self._response)
        if self._response.status == 200 and kind == "application/connect+json":
            out = self._envelopes.feed(data)
            if self._response.complete and not out:
                self._envelopes.eof()
            return out
        self._other += data
        if self._response.complete or len(self._other) > 1 << 20:
            raise failure(self._response, kind, bytes(self._other))
        return []


class Single:
    """The one message that a stream is answered with."""

    def __init__(self, response: Response, max_message: int = MAX_MESSAGE) -> None:
        self._messages = Messages(response, max_message)
        self._found: List[Dict[str, Any]] = []

    def feed(self, data: bytes) -> Optional[Dict[str, Any]]:
        """Takes what of the response is body; returns the message when its stream has ended, and
        raises what the call failed with."""
        came = self._messages.feed(data)
        self._found += came
        if came and not self._messages.ended:
            self._found += self._messages.feed(b"")  # the end waits behind what came before it
        if len(self._found) > 1 or self._messages.ended and not self._found:
            raise errors.ProtocolError("the answer is a stream that has not one message")
        return self._found[0] if self._messages.ended else None


def _kind(response: Response) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


def json_object(data: bytes) -> Dict[str, Any]:
    """The JSON object of a message."""
    try:
        value = _values.from_json(data.decode("utf-8"))
    except ValueError as error:
        raise errors.ProtocolError(f"an answer is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise errors.ProtocolError(f"an answer is a JSON {type(value).__name__} and no object")
    return value


def answer(response: Response, body: bytes) -> Dict[str, Any]:
    """What a call returned; raises what it failed with."""
    kind = _kind(response)
    if response.status == 200 and kind == "application/json":
        return json_object(body)
    raise failure(response, kind, body)


def failure(response: Response, kind: str, body: bytes) -> errors.PyIsolateError:
    """What an answer says that is no result."""
    if kind == "application/json" and response.status != 200:
        try:
            return _detail.of_json(json_object(body), response.status)
        except errors.ProtocolError:
            pass
    said = body[:200].decode("utf-8", "replace").strip()
    message = (
        f"the server answered {response.status} {kind or 'without a type'}{': ' if said else ''}{said!a}"
    )
    code = _STATUS_CODES.get(response.status)
    if code is None:
        return errors.ProtocolError(message + "; is it a node?")
    return errors.make("", code, message)


def encode(body: Dict[str, Any]) -> bytes:
    """A request's JSON."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")


def split_deadline(timeout: Optional[float]) -> Tuple[Optional[int], Optional[float]]:
    """What the node is told, in milliseconds, and how long to wait for it, in seconds. The
    node answers at its deadline; the rest is for the way."""
    if timeout is None:
        return None, None
    return max(1, int(timeout * 1000 + 0.5)), timeout + 2.0
