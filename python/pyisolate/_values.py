"""Values as they cross a cell's border, and the units that people write."""

from __future__ import annotations

import base64
import json
import re
from datetime import timedelta
from typing import Any, Dict, Optional, Union

from . import errors

Seconds = Union[int, float, str, timedelta]
"""A time: seconds, a timedelta, or a text as "100ms", "1.5s" or "1m30s"."""
Size = Union[int, str]
"""Bytes: a number, or a text as "64MiB" or "10kB"."""

_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|ms|s|m|h)")
_BYTES = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_DIGITS = 4300  # of an integer, at most: Python's own bound, where it has one
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)")


def encode(value: Any) -> Dict[str, Any]:
    """The API's form of a value: raw bytes, or JSON. TypeError or ValueError if it is neither."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"raw": base64.b64encode(value).decode("ascii")}
    return {"json": to_json(value)}


def to_json(value: Any) -> str:
    """The JSON text of a value, as a guest reads it: NaN and lone surrogates are no JSON."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if not text.isascii():
        text.encode("utf-8")  # raises for lone surrogates
    return text


class Unread(ValueError):
    """It is JSON, but more than is read here."""


def _integer(digits: str) -> int:
    # To read one takes the square of its digits, and not every Python bounds them.
    many = len(digits.lstrip("-"))
    if many > _DIGITS:
        raise Unread(f"an integer has {many} digits; {_DIGITS} are the most")
    try:
        return int(digits)
    except ValueError as error:  # the program has Python read fewer
        raise Unread(str(error)) from None


_JSON = json.JSONDecoder(parse_int=_integer)


def from_json(text: str) -> Any:
    """What a JSON text says. Unread: it says too much; ValueError: it is none."""
    try:
        return _JSON.decode(text)
    except RecursionError:
        raise Unread("it is nested too deeply") from None


def decode(value: Any) -> Any:
    """The value of the API's form of one. GuestError: a guest made it so that it cannot be read;
    ProtocolError: no node answers that."""
    try:
        if "json" in value:
            return from_json(value["json"])
        return base64.b64decode(value.get("raw", ""), validate=True)
    except Unread as error:
        raise errors.GuestError(f"a value of the cell cannot be read: {error}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise errors.ProtocolError(f"a value of the answer cannot be read: {error}") from None


def seconds(value: Seconds, what: str) -> float:
    """A time in seconds; Invalid if it is none, or negative."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, str):
        parts = _DURATION.findall(value)
        if not parts or "".join(n + unit for n, unit in parts) != value:
            raise errors.Invalid(f'{what} {value!r}: write a time as "100ms", "1.5s" or "1m30s"')
        value = sum(float(n) * _SECONDS[unit] for n, unit in parts)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e10:
        raise errors.Invalid(f"{what} {value!r}: it must be a number of seconds from 0 on")
    return float(value)


def size(value: Size, what: str) -> int:
    """A size in bytes; Invalid if it is none, or negative."""
    if isinstance(value, str):
        m = _SIZE.fullmatch(value)
        if not m or float(m[1]) * _BYTES[m[2]] % 1:
            raise errors.Invalid(f'{what} {value!r}: write a size as "64MiB" or "10kB"')
        value = int(float(m[1]) * _BYTES[m[2]])
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise errors.Invalid(f"{what} {value!r}: it must be a number of bytes from 0 on")
    return value


def count(value: int, what: str) -> int:
    """A number of things; Invalid if it is none, or negative."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise errors.Invalid(f"{what} {value!r}: it must be a whole number from 0 on")
    return value


def duration(value: float) -> str:
    """The JSON of a protobuf Duration."""
    return f"{value:.9f}s"


def duration_text(value: Seconds, what: str) -> str:
    """A time as policy documents write it."""
    if isinstance(value, str):
        seconds(value, what)
        return value
    nanoseconds = round(seconds(value, what) * 1e9)
    for unit, n in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if nanoseconds % n == 0:
            return f"{nanoseconds // n}{unit}"
    return f"{nanoseconds}ns"


def size_text(value: Size, what: str) -> str:
    """A size as policy documents write it."""
    if isinstance(value, str):
        size(value, what)
        return value
    n = size(value, what)
    for unit in ("GiB", "MiB", "KiB"):
        if n and n % _BYTES[unit] == 0:
            return f"{n // _BYTES[unit]}{unit}"
    return f"{n}B"


def from_duration(text: Any) -> float:
    """Seconds of the JSON of a protobuf Duration; 0 without one."""
    try:
        return float(text[:-1]) if isinstance(text, str) and text.endswith("s") else 0.0
    except ValueError:
        return 0.0


def number(value: Any) -> int:
    """A number of protobuf's JSON, in which those of 64 bits are texts; 0 without one."""
    try:
        return int(value) if isinstance(value, (int, str)) and len(str(value)) <= 20 else 0
    except ValueError:
        return 0


def optional_seconds(value: Optional[Seconds], what: str = "timeout") -> Optional[float]:
    """As seconds; None stays None."""
    return None if value is None else seconds(value, what)
