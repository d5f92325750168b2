"""What a node tells of cells, policies and itself, as immutable records."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from . import _detail, errors
from ._values import from_duration, number


@dataclass(frozen=True)
class Layer:
    """One mechanism of the kernel."""

    name: str
    active: bool
    evidence: str  #: what the kernel answered when it was tried
    gaps: Tuple[str, ...] = ()


@dataclass(frozen=True)
class PolicyState:
    """What a cell is confined by now."""

    name: str  #: empty: a document of its own, or none
    sandbox: str
    version: int  #: in force
    newest: int  #: that is known
    problem: str  #: why the newest is not in force; empty: it is
    needs_new_cell: Tuple[str, ...]
    deleted: bool


@dataclass(frozen=True)
class Report:
    """A cell seen from outside. Times are in seconds, sizes in bytes."""

    tenant: str
    name: str
    id: str
    backend: str
    state: str  #: starting, running, restarting, quarantined, closed, killed or crashed;
    #: of a cell that no node has: suspended or lost; unknown while its node does not answer
    busy: bool
    reason: str  #: why it ended, or is suspended
    started: Optional[datetime]
    cpu: float
    memory: int
    memory_peak: int
    output: int
    posts: int
    logs: int
    denials: int
    epoch: int
    restarts: int
    node: str
    policy: Optional[PolicyState]
    layers: Tuple[Layer, ...] = ()
    unheld: Tuple[str, ...] = ()  #: what the policy asks for and no layer holds
    topics: Tuple[str, ...] = ()
    migration: "Optional[Migration]" = None  #: None: it is not being moved
    checkpoint: str = ""  #: that a suspended cell goes on from
    copies: Tuple[str, ...] = ()  #: the nodes that have it


@dataclass(frozen=True)
class Stats:
    """What a tenant's cells, or all, have and have used together."""

    states: Mapping[str, int]
    cpu: float
    memory: int
    output: int
    posts: int
    logs: int
    denials: int
    warm: int  #: cells that stand ready
    warm_hits: int
    warm_misses: int


@dataclass(frozen=True)
class Log:
    """One record that a guest logged or printed (level "stdout" or "stderr")."""

    level: str
    message: str
    fields: str  #: a JSON object, or empty
    at: Optional[datetime]


@dataclass(frozen=True)
class Metric:
    """One number that a guest measured."""

    name: str
    value: float
    tags: Mapping[str, str]
    at: Optional[datetime]


@dataclass(frozen=True)
class Lost:
    """So many records are missing here: there were too many, or the client was too slow."""

    count: int
    node: str = ""  #: of whose events they are


Saying = Union[Log, Metric, errors.Denial, Lost]
"""What a cell says beside its posts."""


@dataclass(frozen=True)
class Event:
    """Something that happened to a cell, a host or a policy."""

    index: int
    kind: str  #: as "CELL_STARTED", "MEM_KILL", "DENIED" or "POLICY_HOTLOAD"
    at: Optional[datetime]
    tenant: str
    cell: str  #: empty: it is not about one
    epoch: int
    message: str
    denial: Optional[errors.Denial]
    policy: str
    version: int
    trace: str
    node: str = ""  #: where it happened


@dataclass(frozen=True)
class Node:
    """A node seen from outside."""

    id: str
    version: str
    state: str  #: ready, draining or ending
    python: str  #: that guests run
    mode: str  #: hardened, dev or compatibility
    backends: Tuple[str, ...]
    layers: Tuple[Layer, ...]
    kernel: str
    cpus: int
    memory: int
    cells: int
    max_cells: int
    uptime: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """What can be known of a checkpoint without a key."""

    id: str
    tenant: str
    name: str
    epoch: int
    size: int
    at: Optional[datetime]
    python: str
    nodes: Tuple[str, ...]
    backend: str = ""
    policy: str = ""
    recipient: str = ""


@dataclass(frozen=True)
class Move:
    """How a move goes: what is being done, and how much of the state is copied."""

    #: ``prepare``, ``freeze``, ``copy``, ``activate``, ``collect``, ``done`` or ``abort``
    phase: str
    copied: int
    size: int  #: 0: not known yet
    paused: float  #: seconds, so far
    epoch: int  #: of the cell now
    node: str = ""  #: that has it now


@dataclass(frozen=True)
class Migration:
    """A move that is under way, in the report of its cell."""

    to: str
    phase: str
    copied: int
    size: int
    paused: float
    began: Optional[datetime]


@dataclass(frozen=True)
class Version:
    """One state of a stored policy."""

    name: str
    number: int
    index: int
    hash: str  #: SHA-256 of the text, hexadecimal; empty: a deletion
    text: str  #: empty in lists
    author: str
    comment: str
    time: Optional[datetime]
    deleted: bool
    source: str


def _s(d: Any, key: str) -> str:
    value = d.get(key) if isinstance(d, dict) else None
    return value if isinstance(value, str) else ""


def _d(d: Any, key: str) -> Dict[str, Any]:
    value = d.get(key) if isinstance(d, dict) else None
    return value if isinstance(value, dict) else {}


def _l(d: Any, key: str) -> List[Any]:
    value = d.get(key) if isinstance(d, dict) else None
    return value if isinstance(value, list) else []


def _texts(d: Any, key: str) -> Tuple[str, ...]:
    return tuple(v for v in _l(d, key) if isinstance(v, str))


def layers(d: Any) -> Tuple[Layer, ...]:
    """The layers of a report or a node."""
    return tuple(
        Layer(_s(x, "name"), x.get("active") is True, _s(x, "evidence"), _texts(x, "gaps"))
        for x in _l(d, "layers")
        if isinstance(x, dict)
    )


def report(d: Dict[str, Any]) -> Report:
    """The report of its JSON."""
    cell, policy = _d(d, "cell"), _d(d, "policy")
    counts: Dict[str, Any] = {
        k: number(d.get(k)) for k in ("memory", "output", "posts", "logs", "denials", "epoch", "restarts")
    }
    texts: Dict[str, Any] = {k: _s(d, k) for k in ("id", "backend", "state", "reason", "node", "checkpoint")}
    return Report(
        tenant=_s(cell, "tenant"),
        name=_s(cell, "name"),
        busy=d.get("busy") is True,
        started=_detail.timestamp(d.get("started")),
        cpu=from_duration(d.get("cpu")),
        memory_peak=number(d.get("memoryPeak")),
        policy=_policy(policy) if policy else None,
        layers=layers(d),
        unheld=_texts(d, "unheld"),
        topics=_texts(d, "topics"),
        copies=_texts(d, "copies"),
        migration=migration(_d(d, "migration")),
        **texts,
        **counts,
    )


def _policy(d: Dict[str, Any]) -> PolicyState:
    ref = _d(d, "ref")
    return PolicyState(
        _s(ref, "name"), _s(ref, "sandbox"), number(d.get("version")), number(d.get("newest")),
        _s(d, "problem"), _texts(d, "needsNewCell"), d.get("deleted") is True,
    )  # fmt: skip


def stats(d: Dict[str, Any]) -> Stats:
    """The stats of their JSON."""
    names = ("memory", "output", "posts", "logs", "denials", "warm")
    return Stats(
        states={str(k): number(v) for k, v in _d(d, "states").items()},
        cpu=from_duration(d.get("cpu")),
        warm_hits=number(d.get("warmHits")),
        warm_misses=number(d.get("warmMisses")),
        **{k: number(d.get(k)) for k in names},
    )


def saying(d: Dict[str, Any]) -> Saying:
    """What a message of a stream of logs says."""
    if "log" in d:
        log = _d(d, "log")
        return Log(_s(log, "level"), _s(log, "message"), _s(log, "fields"), _detail.timestamp(log.get("at")))
    if "metric" in d:
        m = _d(d, "metric")
        try:
            value = float(m.get("value", 0.0))  # NaN and the infinities are texts
        except (TypeError, ValueError, OverflowError):
            raise errors.ProtocolError("a metric of the answer has no value") from None
        return Metric(
            _s(m, "name"),
            value,
            {k: _s(_d(m, "tags"), k) for k in _d(m, "tags")},
            _detail.timestamp(m.get("at")),
        )
    if "denial" in d:
        return _detail.denial(d["denial"]) or errors.Denial()
    return Lost(number(d.get("lost")))


def event(d: Dict[str, Any]) -> Union[Event, Lost]:
    """What a message of a stream of events says."""
    if "event" not in d:
        return Lost(number(d.get("lost")), _s(d, "lostOf"))
    e = _d(d, "event")
    return Event(
        number(e.get("index")), _s(e, "kind"), _detail.timestamp(e.get("at")), _s(_d(e, "cell"), "tenant"),
        _s(_d(e, "cell"), "name"), number(e.get("epoch")), _s(e, "message"), _detail.denial(e.get("denial")),
        _s(e, "policy"), number(e.get("version")), _s(e, "trace"), _s(e, "node"),
    )  # fmt: skip


def node(d: Dict[str, Any]) -> Node:
    """The node of its JSON."""
    texts: Dict[str, Any] = {k: _s(d, k) for k in ("id", "version", "state", "python", "mode", "kernel")}
    counts: Dict[str, Any] = {k: number(d.get(k)) for k in ("cpus", "memory", "cells")}
    return Node(
        **texts,
        **counts,
        max_cells=number(d.get("maxCells")),
        backends=_texts(d, "backends"),
        layers=layers(d),
        uptime=from_duration(d.get("uptime")),
        labels={k: _s(_d(d, "labels"), k) for k in _d(d, "labels")},
    )


def checkpoint(d: Dict[str, Any]) -> Checkpoint:
    """The checkpoint of its JSON."""
    cell = _d(d, "cell")
    return Checkpoint(
        _s(d, "id"), _s(cell, "tenant"), _s(cell, "name"), number(d.get("epoch")), number(d.get("size")),
        _detail.timestamp(d.get("at")), _s(d, "python"), _texts(d, "nodes"),
        _s(d, "backend"), _s(_d(d, "policy"), "name"), _s(d, "recipient"),
    )  # fmt: skip


def move(d: Dict[str, Any]) -> Move:
    """One message of a move."""
    return Move(
        _s(d, "phase"),
        number(d.get("copied")),
        number(d.get("size")),
        from_duration(d.get("paused")),
        number(d.get("epoch")),
        _s(d, "node"),
    )


def migration(d: Dict[str, Any]) -> Optional[Migration]:
    """The move of its JSON; None: the cell stays."""
    if not d:
        return None
    return Migration(
        _s(d, "to"), _s(d, "phase"), number(d.get("copied")), number(d.get("size")),
        from_duration(d.get("paused")), _detail.timestamp(d.get("began")),
    )  # fmt: skip


def version(d: Dict[str, Any]) -> Version:
    """The version of a policy of its JSON."""
    try:
        text = base64.b64decode(_s(d, "text"), validate=True).decode("utf-8", "replace")
        digest = base64.b64decode(_s(d, "hash"), validate=True).hex()
    except ValueError as error:
        raise errors.ProtocolError(f"a version of a policy cannot be read: {error}") from None
    return Version(
        _s(d, "name"), number(d.get("number")), number(d.get("index")), digest, text, _s(d, "author"),
        _s(d, "comment"), _detail.timestamp(d.get("time")), d.get("deleted") is True, _s(d, "source"),
    )  # fmt: skip


def dicts(d: Dict[str, Any], key: str) -> List[Dict[str, Any]]:
    """The objects of a list in an answer."""
    return [x for x in _l(d, key) if isinstance(x, dict)]


def word(d: Dict[str, Any], key: str) -> str:
    """The text in an answer; empty without one."""
    return _s(d, key)


def part(d: Dict[str, Any], key: str) -> Dict[str, Any]:
    """The object in an answer."""
    return _d(d, key)
