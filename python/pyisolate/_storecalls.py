"""The calls of the policy store, as :mod:`._calls` has those about cells."""

from __future__ import annotations

import base64
from typing import Any, Dict, List, Optional, Tuple

from . import _reports, _values, errors
from ._calls import Call, _body, request_id
from ._values import Seconds


def _version(d: Dict[str, Any]) -> _reports.Version:
    return _reports.version(_reports.part(d, "version"))


def put(name: str, text: str, comment: str, expect: Optional[int]) -> Call[_reports.Version]:
    """Put."""
    body = _body(
        name=name,
        text=base64.b64encode(text.encode("utf-8")).decode("ascii"),
        comment=comment,
        requestId=request_id(),
    )
    if expect is not None:
        body["expect"] = str(expect)
    return Call("PolicyService/Put", body, _version)


def pull(
    name: str, url: str, sha256: str, key: str, every: Optional[Seconds], other_hosts: bool
) -> Call[Tuple[_reports.Version, bool]]:
    """Pull: the newest version, and whether this call stored it."""
    try:
        digest, public = (base64.b64encode(bytes.fromhex(h)).decode("ascii") for h in (sha256, key))
    except ValueError:
        raise errors.Invalid("sha256 and ed25519_key are 64 hexadecimal digits") from None
    body = _body(name=name, url=url, sha256=digest, ed25519Key=public, otherHosts=other_hosts or None)
    if every is not None:
        body["every"] = _values.duration(_values.seconds(every, "every"))
    return Call("PolicyService/Pull", body, lambda d: (_version(d), d.get("changed") is True), timeout=120.0)


def get(name: str, number: int) -> Call[_reports.Version]:
    """Get."""
    return Call("PolicyService/Get", _body(name=name, number=number and str(number)), _version)


def history(name: str) -> Call[List[_reports.Version]]:
    """History."""
    return Call(
        "PolicyService/History",
        _body(name=name),
        lambda d: [_reports.version(v) for v in _reports.dicts(d, "versions")],
    )


def rollback(name: str, to: int, comment: str, expect: Optional[int]) -> Call[_reports.Version]:
    """Rollback."""
    body = _body(name=name, to=str(to), comment=comment, requestId=request_id())
    if expect is not None:
        body["expect"] = str(expect)
    return Call("PolicyService/Rollback", body, _version)


def delete(name: str, comment: str, expect: Optional[int]) -> Call[_reports.Version]:
    """Delete."""
    body = _body(name=name, comment=comment, requestId=request_id())
    if expect is not None:
        body["expect"] = str(expect)
    return Call("PolicyService/Delete", body, _version)
