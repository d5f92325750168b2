"""Reads what a failed call carries: the error of the Connect protocol and our detail in it.

The detail is a protobuf message. Of that encoding only what ``error.proto`` uses is read:
numbers, texts and messages within messages. Whatever is damaged is left out; an error that
cannot be read in full is still an error.
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List, Optional, Tuple, Union

from . import errors

_DETAIL = "pyisolate.v1.ErrorDetail"
_MAX_FIELDS = 4096  # of one message; a detail has 50 problems at most
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

_Field = Union[int, bytes]
_Fields = Dict[int, List[_Field]]


def of_json(error: Any, status: int = 0) -> errors.PyIsolateError:
    """The exception of the ``error`` of a response or of the end of a stream."""
    if not isinstance(error, dict):
        return errors.ProtocolError(f"the error of status {status} is no JSON object")
    code, message = _text(error.get("code")), _text(error.get("message"))
    details = error.get("details")
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict) and detail.get("type") == _DETAIL:
            try:
                return of_bytes(_decode64(_text(detail.get("value"))), code)
            except ValueError:
                break
    return errors.make("", code, message or f"the node answered {code or status}")


def of_bytes(data: bytes, code: str = "") -> errors.PyIsolateError:
    """The exception of an encoded ErrorDetail; ValueError if it is none."""
    f = _fields(data)
    return errors.make(
        _string(f, 1),
        code,
        _string(f, 2),
        hint=_string(f, 3),
        problems=tuple(_problem(p) for p in f.get(4, [])[:50] if isinstance(p, bytes)),
        type=_string(f, 5),
        traceback=errors.plain(_string(f, 6), "\n\t"),
        denial=_denial(f),
    )


def of_item(detail: Any) -> errors.PyIsolateError:
    """The exception of an ErrorDetail that is part of an answer, in JSON."""
    if not isinstance(detail, dict):
        return errors.ProtocolError("an item's error is no JSON object")
    problems = detail.get("problems")
    return errors.make(
        _text(detail.get("kind")),
        "",
        _text(detail.get("message")),
        hint=_text(detail.get("hint")),
        type=_text(detail.get("type")),
        traceback=errors.plain(_text(detail.get("traceback")), "\n\t"),
        problems=tuple(problem(p) for p in problems if isinstance(p, dict))
        if isinstance(problems, list)
        else (),
        denial=denial(detail.get("denial")),
    )


def problem(p: Dict[str, Any]) -> errors.Problem:
    """The problem of its JSON."""
    line, column = (p[k] if isinstance(p.get(k), int) else 0 for k in ("line", "column"))
    return errors.Problem(
        _text(p.get("file")),
        line,
        column,
        _text(p.get("message")),
        _text(p.get("hint")),
        _text(p.get("source")),
        _text(p.get("text")),
    )


def denial(d: Any) -> Optional[errors.Denial]:
    """The denial of its JSON; None without one."""
    if not isinstance(d, dict):
        return None
    cell, capability, action = (_text(d.get(k)) for k in ("cell", "capability", "action"))
    rule, kernel, broker = (_text(d.get(k)) for k in ("rule", "kernel", "broker"))
    return errors.Denial(cell, capability, action, rule, kernel, broker, timestamp(d.get("at")))


def timestamp(text: Any) -> Optional[datetime]:
    """The time of an RFC 3339 text in UTC, to the microsecond; None without one."""
    if not isinstance(text, str) or not text.endswith("Z"):
        return None
    seconds, _, fraction = text[:-1].partition(".")
    try:
        at = datetime.strptime(seconds, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
        return at + timedelta(microseconds=int(fraction[:6].ljust(6, "0"))) if fraction else at
    except (ValueError, OverflowError):
        return None


def _text(v: Any) -> str:
    return v if isinstance(v, str) else ""


def _decode64(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def _denial(f: _Fields) -> Optional[errors.Denial]:
    packed = f.get(7, [b""])[-1]
    if not packed or not isinstance(packed, bytes):
        return None
    d = _fields(packed)
    at = None
    if d.get(7) and isinstance(d[7][-1], bytes):
        t = _fields(d[7][-1])
        try:
            at = _EPOCH + timedelta(seconds=_number(t, 1), microseconds=_number(t, 2) // 1000)
        except OverflowError:
            pass
    return errors.Denial(
        _string(d, 1), _string(d, 2), _string(d, 3), _string(d, 4), _string(d, 5), _string(d, 6), at
    )


def _problem(data: bytes) -> errors.Problem:
    p = _fields(data)
    return errors.Problem(_string(p, 1), _number(p, 2), _number(p, 3), *(_string(p, n) for n in range(4, 8)))


def _string(f: _Fields, number: int) -> str:
    value = f.get(number, [b""])[-1]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _number(f: _Fields, number: int) -> int:
    value = f.get(number, [0])[-1]
    return value if isinstance(value, int) else 0


def _fields(data: bytes) -> _Fields:
    """The fields of a message by number, each with its values in order."""
    fields: _Fields = {}
    at = 0
    for _ in range(_MAX_FIELDS):
        if at >= len(data):
            return fields
        key, at = _varint(data, at)
        value: _Field
        if key & 7 == 0:
            value, at = _varint(data, at)
        elif key & 7 in (1, 5):  # of fixed size: none of ours
            value, at = 0, at + (8 if key & 7 == 1 else 4)
        elif key & 7 == 2:
            size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f"wire type {key & 7}")
        if at > len(data):
            raise ValueError("a field ends beyond its message")
        fields.setdefault(key >> 3, []).append(value)
    raise ValueError("too many fields")


def _varint(data: bytes, at: int) -> Tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("a number ends beyond its message")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than ten bytes")
