"""Policies: made of authorities, and stored on a node.

::

    import pyisolate as iso
    from pyisolate import ConnectTCP, Import, Policy, ReadPath

    etl = Policy(Import("json"), ReadPath("/srv/data"), mem="256MiB").allow_tcp("10.0.0.0/8", 443)
    with iso.spawn("etl", policy=etl) as sandbox:
        ...
    iso.policy.refresh("etl.yml", token="pyi_…")  # cells that follow the policy have it at once
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import urllib.parse
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from . import _calls, _client, _reports, _storecalls, _values, errors
from ._authority import (
    ORDER,
    AllowPath,
    Authority,
    Capability,
    ConnectTCP,
    Contract,
    DenyPath,
    DenyTCP,
    Import,
    Key,
    Port,
    ReadPath,
    merge,
)
from ._client import Client
from ._values import Seconds

__all__ = [
    "Policy", "delete", "get", "history", "put", "refresh", "refresh_remote", "rollback", "set_policy_token",
]  # fmt: skip

_SIZES = ("mem", "output", "message", "sent", "received")
_PLAIN = re.compile(r"[a-z][a-z_]*")


class Policy:
    """What a cell may do. What is not permitted is denied.

    Made of authorities and of the single values of a policy document (``mem``, ``cpu``,
    ``wall``, ``backend``, ``children``, … as docs/policy.md has them); :meth:`of_text` takes a
    document as it is. It never changes: ``+`` and the methods return another one.
    """

    __slots__ = ("_entries", "_text")

    def __init__(self, *authorities: Authority, **values: Any) -> None:
        entries: List[Key] = []
        for a in authorities:
            if not isinstance(a, Authority):
                raise errors.Invalid(f"{a!r} is no authority; write as ReadPath({a!r})")
            entries.extend(a.entries)
        for key, value in values.items():
            if value is not None:
                entries.append((key, _single(key, value)))
        self._entries: Tuple[Key, ...] = tuple(entries)
        self._text = ""

    @classmethod
    def of_text(cls, text: str) -> "Policy":
        """The policy of a YAML document, which the node judges."""
        made = cls()
        made._text = text
        return made

    @classmethod
    def of_file(cls, path: Union[str, "os.PathLike[str]"]) -> "Policy":
        """The policy of a file."""
        with open(path, encoding="utf-8") as f:
            return cls.of_text(f.read())

    def __add__(self, other: Union[Authority, "Policy"]) -> "Policy":
        if not isinstance(other, (Authority, Policy)):
            return NotImplemented
        if self._text or isinstance(other, Policy) and other._text:
            raise errors.Invalid("a policy that is a text cannot be added to")
        made = Policy()
        made._entries = self._entries + (other._entries if isinstance(other, Policy) else other.entries)
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and self.document() == other.document()

    def __hash__(self) -> int:
        return hash(self.document())

    def __repr__(self) -> str:
        return f"<Policy {self._text and 'of a text' or json.dumps(self.sandbox(), ensure_ascii=False, default=str)}>"

    def allow_fs(self, *paths: str, write: bool = False) -> "Policy":
        """With files and directories to read, and to write."""
        return self + (AllowPath(*paths) if write else ReadPath(*paths))

    def deny_fs(self, *paths: str) -> "Policy":
        """With files and directories that nothing permits."""
        return self + DenyPath(*paths)

    def allow_tcp(self, address: str, *ports: Port) -> "Policy":
        """With an address, network or host to connect to."""
        return self + ConnectTCP(address, *ports)

    def deny_tcp(self, address: str, *ports: Port) -> "Policy":
        """With an address or network that nothing permits."""
        return self + DenyTCP(address, *ports)

    def allow_import(self, *modules: str) -> "Policy":
        """With modules to import."""
        return self + Import(*modules)

    def grant(self, capability: str, **scope: Any) -> "Policy":
        """With an effect of the node."""
        return self + Capability(capability, **scope)

    def require(self, *assertions: str) -> "Policy":
        """With assertions that must hold."""
        return self + Contract(*assertions)

    def sandbox(self) -> Dict[str, Any]:
        """The keys of its sandbox; of one that is a text, nothing."""
        return merge(list(self._entries))

    def document(self, name: str = "cell") -> str:
        """The policy document: YAML, with one sandbox of this name."""
        if self._text:
            return self._text
        body = self.sandbox()
        head = f"version: 1.0\nsandboxes:\n  {json.dumps(name)}:"
        return head + (_yaml(body, 4) if body else " {}\n")

    __str__ = document


def _single(key: str, value: Any) -> Any:
    if key not in ORDER:
        raise errors.Invalid(f"a policy has no {key!r}; it has {', '.join(ORDER)}")
    if key in ("imports", "contracts", "fs", "net", "capabilities"):
        raise errors.Invalid(f"{key} is made of authorities, as Policy(Import('json'), ReadPath('/srv'))")
    if key in _SIZES:
        return _values.size_text(value, key)
    if key == "wall":
        return _values.duration_text(value, key)
    if key == "cpu" and not (isinstance(value, str) and "/" in value):
        raise errors.Invalid(
            f'cpu {value!r}: write processor time per window, as "500ms/1s"; CpuBudget("5s") is for the whole life'
        )
    return value


def _yaml(value: Any, indent: int) -> str:
    """What follows the colon of a key, or the dash of an entry, to the end of its lines."""
    pad = " " * indent
    if isinstance(value, Mapping) and value:
        return "\n" + "".join(f"{pad}{_scalar(str(k))}:{_yaml(v, indent + 2)}" for k, v in value.items())
    if isinstance(value, (list, tuple)) and value:
        return "\n" + "".join(
            f"{pad}-{_yaml(v, indent + 2) if not isinstance(v, Mapping) else _flow(v)}" for v in value
        )
    return _flow(value)


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return " {" + ", ".join(f"{_scalar(str(k))}:{_flow(v)}".rstrip() for k, v in value.items()) + "}\n"
    if isinstance(value, (list, tuple)):
        return " [" + ", ".join(_flow(v).strip() for v in value) + "]\n"
    return f" {_scalar(value)}\n"


def _scalar(value: Any) -> str:
    """A word, number or text, so that every reader takes it for the same."""
    if (
        isinstance(value, str)
        and _PLAIN.fullmatch(value)
        and value not in ("yes", "no", "on", "off", "true", "false", "null", "y", "n")
    ):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise errors.Invalid(f"a policy cannot have {value!r}: {error}") from None


_token: Optional[str] = None


def set_policy_token(token: Optional[str]) -> None:
    """The token that the functions of this module show to the default node where neither a token
    nor a client is given; None: that client's own."""
    global _token
    _token = token


def put(
    name: str,
    policy: Union[str, Policy],
    *,
    token: Optional[str] = None,
    comment: str = "",
    expect: Optional[int] = None,
    client: Optional[Client] = None,
) -> _reports.Version:
    """Stores a policy, or the text of a document, as the next version of a name. Cells that
    follow it get it at once. ``expect`` is the number that the newest version must have (0:
    there must be none), or else :class:`Conflict`. :class:`Invalid` has the document's
    ``problems``."""
    text = policy.document(_stem(name)) if isinstance(policy, Policy) else policy
    return _do(_storecalls.put(name, text, comment, expect), token, client)


def refresh(
    path: Union[str, "os.PathLike[str]"],
    token: Optional[str] = None,
    *,
    name: Optional[str] = None,
    comment: str = "",
    expect: Optional[int] = None,
    client: Optional[Client] = None,
) -> _reports.Version:
    """Stores the document of a file as the next version of a policy, by default of the file's
    name without its ending. As :func:`put`."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    return put(
        name or _stem(os.fspath(path)), text, token=token, comment=comment, expect=expect, client=client
    )


def refresh_remote(
    url: str,
    token: Optional[str] = None,
    *,
    name: Optional[str] = None,
    sha256: str = "",
    ed25519_key: str = "",
    every: Optional[Seconds] = None,
    other_hosts: bool = False,
    client: Optional[Client] = None,
) -> _reports.Version:
    """Has the node fetch a document, verify and store it, once or again and ``every`` so
    often. ``sha256`` is the hash of its bytes and ``ed25519_key`` a public key, both in
    hexadecimal digits; ``http`` needs one of them. Returns the newest version."""
    name = name or _stem(urllib.parse.urlsplit(url).path)
    return _do(_storecalls.pull(name, url, sha256, ed25519_key, every, other_hosts), token, client)[0]


def get(
    name: str, number: int = 0, *, token: Optional[str] = None, client: Optional[Client] = None
) -> _reports.Version:
    """One version of a policy, with its text; the newest by default."""
    return _do(_storecalls.get(name, number), token, client)


def history(
    name: str, *, token: Optional[str] = None, client: Optional[Client] = None
) -> List[_reports.Version]:
    """The versions of a policy, newest first, without texts; 100 at most."""
    return _do(_storecalls.history(name), token, client)


def rollback(
    name: str,
    to: int,
    *,
    token: Optional[str] = None,
    comment: str = "",
    expect: Optional[int] = None,
    client: Optional[Client] = None,
) -> _reports.Version:
    """Stores the text of an earlier version as the next one."""
    return _do(_storecalls.rollback(name, to, comment, expect), token, client)


def delete(
    name: str,
    *,
    token: Optional[str] = None,
    comment: str = "",
    expect: Optional[int] = None,
    client: Optional[Client] = None,
) -> _reports.Version:
    """Stores a version that says there is no policy. Cells keep what they have."""
    return _do(_storecalls.delete(name, comment, expect), token, client)


def _do(call: "_calls.Call[_calls.T]", token: Optional[str], client: Optional[Client]) -> "_calls.T":
    client = _client.given(client)
    if client is None:
        client, token = _client.default(), _token if token is None else token
    return client.do(call, token)  # a token of one node is not for another


def _stem(path: str) -> str:
    name = posixpath.basename(path)
    return name[: -len(ending)] if (ending := os.path.splitext(name)[1]) in (".yml", ".yaml") else name
