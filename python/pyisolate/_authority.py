"""Authorities: single things that a policy permits or bounds."""

from __future__ import annotations

import ipaddress
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from . import _values, errors
from ._values import Seconds, Size

Key = Tuple[str, Any]
"""One entry of a sandbox in a policy document: lists add, other values replace."""


class Authority:
    """The base of all authorities. ``entries`` are what it writes into a sandbox."""

    __slots__ = ("entries",)

    def __init__(self, *entries: Key) -> None:
        self.entries: Tuple[Key, ...] = entries

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(f'{k}: {v}' for k, v in self.entries)}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Authority) and self.entries == other.entries

    def __hash__(self) -> int:
        return hash(repr(self.entries))


def _paths(verb: str, paths: Tuple[str, ...]) -> List[Key]:
    if not paths:
        raise errors.Invalid(f"{verb}: name at least one path")
    out: List[Key] = []
    for path in paths:
        path = str(path)
        if not path.startswith("/"):
            raise errors.Invalid(f"{verb} {path!r}: a policy has absolute paths alone")
        out.append(("fs", [{verb: path}]))
    return out


class ReadPath(Authority):
    """To read a file, or a directory and all below it. Paths are absolute; ``*``, ``?`` and
    ``**`` are wildcards."""

    def __init__(self, *paths: str) -> None:
        super().__init__(*_paths("read", paths))


class WritePath(Authority):
    """To make, change, rename and remove; not to read."""

    def __init__(self, *paths: str) -> None:
        super().__init__(*_paths("write", paths))


class AllowPath(Authority):
    """To read and to write."""

    def __init__(self, *paths: str) -> None:
        super().__init__(*_paths("allow", paths))


class DenyPath(Authority):
    """Neither to read nor to write, whatever permits it: a deny beats every other rule."""

    def __init__(self, *paths: str) -> None:
        super().__init__(*_paths("deny", paths))


Port = Union[int, str]
"""A port, or a range of ports as "8000-8100"."""


def _network(address: str, ports: Tuple[Port, ...]) -> str:
    try:
        network = ipaddress.ip_network(address, strict=False)
    except ValueError:
        network = None  # the name of a host
    if not ports:
        return address
    text = ",".join(str(p) for p in ports)
    return f"[{address}]:{text}" if network is not None and network.version == 6 else f"{address}:{text}"


class ConnectTCP(Authority):
    """To connect to an address ("10.0.0.1"), a network ("10.0.0.0/8") or the name of a host;
    to these ports, or to all. ``ConnectTCP("10.0.0.1:443")`` is the same as with a port."""

    def __init__(self, address: str, *ports: Port) -> None:
        super().__init__(("net", [{"connect": _network(address, ports)}]))


class DenyTCP(Authority):
    """Not to connect to an address or a network, whatever permits it."""

    def __init__(self, address: str, *ports: Port) -> None:
        super().__init__(("net", [{"deny": _network(address, ports)}]))


class Import(Authority):
    """To import modules, with what is below them."""

    def __init__(self, *modules: str) -> None:
        super().__init__(("imports", [str(m) for m in modules]))


class CpuBudget(Authority):
    """Processor time: of the cell's whole life, or with ``per`` of each window of wall time,
    as ``CpuBudget("500ms", per="1s")``."""

    def __init__(self, time: Seconds, per: Optional[Seconds] = None) -> None:
        if per is not None:
            super().__init__(
                ("cpu", f"{_values.duration_text(time, 'cpu')}/{_values.duration_text(per, 'per')}")
            )
            return
        milliseconds = round(_values.seconds(time, "cpu") * 1000)
        if milliseconds < 1:
            raise errors.Invalid(f"cpu {time!r}: a millisecond is the least")
        super().__init__(("cpu_ms", milliseconds))


class MemoryBudget(Authority):
    """Memory that the guest may hold: at least 4 MiB."""

    def __init__(self, size: Size) -> None:
        super().__init__(("mem", _values.size_text(size, "mem")))


class WallBudget(Authority):
    """Time of each exec and call."""

    def __init__(self, time: Seconds) -> None:
        super().__init__(("wall", _values.duration_text(time, "wall")))


class OutputBudget(Authority):
    """Bytes posted, logged, measured and returned, in all."""

    def __init__(self, size: Size) -> None:
        super().__init__(("output", _values.size_text(size, "output")))


class Threads(Authority):
    """Threads beside the cell's own."""

    def __init__(self, count: int) -> None:
        super().__init__(("children", count))


class OpenFiles(Authority):
    """Files held open at once."""

    def __init__(self, count: int) -> None:
        super().__init__(("files", count))


class Capability(Authority):
    """To request an effect of the node, as ``Capability("http.fetch", hosts=["api.example.com"])``;
    docs/capabilities.md has what there is and their scopes."""

    def __init__(self, name: str, **scope: Any) -> None:
        super().__init__(("capabilities", {name: scope}))


class Contract(Authority):
    """To do only what assertions permit, as ``Contract("connect.port in {443}")``."""

    def __init__(self, *assertions: str) -> None:
        super().__init__(("contracts", list(assertions)))


#: the keys of a sandbox, in the order of documents
ORDER = (
    "imports", "fs", "net", "backend", "dialect", "mem", "cpu", "cpu_ms", "wall", "output", "message", "queue", "files",
    "children", "opens", "connects", "sent", "received", "bandwidth", "numa", "capabilities", "contracts", "restart",
)  # fmt: skip


def merge(entries: List[Key]) -> Dict[str, Any]:
    """A sandbox of entries: lists add, grants add by name, single values replace."""
    out: Dict[str, Any] = {}
    for key, value in entries:
        if isinstance(value, list):
            had = out.setdefault(key, [])
            had.extend(v for v in value if v not in had)
        elif isinstance(value, Mapping):
            out.setdefault(key, {}).update(value)
        else:
            out[key] = value
    return {k: out[k] for k in ORDER if k in out}
