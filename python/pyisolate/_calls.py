"""The calls of the API: what each sends, how its answer is read, whether it may be repeated.

A :class:`Call` is data. The blocking and the asyncio client carry it out alike.
"""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Generic,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
    Union,
)

from . import _detail, _reports, _values, errors
from ._values import Seconds, Size

if TYPE_CHECKING:
    from .policy import Policy

T = TypeVar("T")
N = TypeVar("N", int, float)

#: seconds for calls that do not run a guest, when nothing else is said
SHORT = 30.0
#: the states of cells that have not ended
ALIVE = ("starting", "running", "restarting", "quarantined")


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call. ``repeatable``: sending it twice does no more than sending it once."""

    procedure: str
    body: Dict[str, Any]
    decode: Callable[[Dict[str, Any]], T]
    repeatable: bool = True
    timeout: Optional[float] = SHORT


@dataclass(frozen=True)
class Ref:
    """The name of a cell, and which of those that have it in turn; no ``id``: whichever has it."""

    tenant: str
    name: str
    id: str = ""

    def __str__(self) -> str:
        return f"{self.tenant}/{self.name}" if self.tenant else self.name

    def short(self) -> str:
        """The name, without the tenant that is meant where none is said."""
        return self.name if self.tenant in ("", "default") else str(self)

    def body(self, **more: Any) -> Dict[str, Any]:
        """A request about the cell; what is empty is left out."""
        return _body(tenant=self.tenant, name=self.name, id=self.id, **more)


@dataclass(frozen=True)
class PolicyRef:
    """A stored policy: its name, its sandbox (empty: the only one) and version (0: the newest,
    and every newer one as it comes)."""

    name: str
    sandbox: str = ""
    version: int = 0


@dataclass(frozen=True)
class Placement:
    """On which node of a cluster a cell starts; without any, on one that has room."""

    node: str = ""  #: this one alone
    labels: Mapping[str, str] = field(default_factory=dict)  #: only nodes that have all of them
    strategy: str = ""  #: "spread", where the tenant has the fewest cells, or "pack"; by default spread
    layers: Sequence[str] = ()  #: of confinement that the node must have, as :func:`nodes` names them

    def __post_init__(self) -> None:
        if isinstance(self.labels, str) or not isinstance(self.labels, Mapping):
            raise errors.Invalid(f"labels {self.labels!r}: they are a mapping, as {{'zone': 'a'}}")
        if isinstance(self.layers, str):
            raise errors.Invalid(f"layers {self.layers!r}: they are a list of names")
        if self.strategy not in ("", "spread", "pack"):
            raise errors.Invalid(f'strategy {self.strategy!r}: write "spread" or "pack"')

    def body(self) -> Dict[str, Any]:
        """The API's form of it."""
        return _body(node=self.node, labels=dict(self.labels), strategy=self.strategy, layers=list(self.layers))


@dataclass(frozen=True)
class Checkpointing:
    """When a cell is checkpointed by itself. It takes the place of all that the policy and the
    node say of that: ``Checkpointing()`` is never. A cell in which nothing has run since the last
    time is left out; how many are kept is the node's to say."""

    every: Optional[Seconds] = None  #: this often: a second at least
    messages: int = 0  #: after so many execs, calls and posts; 0: not by their number
    before_drain: bool = False  #: when its node ends
    #: how many other nodes of the cluster get a copy, at most 5. When its node is lost, one of
    #: them goes on with the newest
    replicas: int = 0

    def __post_init__(self) -> None:
        if self.every is not None and _values.seconds(self.every, "every") < 1:
            raise errors.Invalid(f"every {self.every!r}: it is a second at least; None is not by time")
        _values.count(self.messages, "messages")
        if not isinstance(self.before_drain, bool):
            raise errors.Invalid(f"before_drain {self.before_drain!r}: it is True or False")
        if _values.count(self.replicas, "replicas") > 5:
            raise errors.Invalid(f"replicas {self.replicas}: 5 other nodes are the most")

    def body(self) -> Dict[str, Any]:
        """The API's form of it."""
        return _body(
            every=None if self.every is None else _values.duration(_values.seconds(self.every, "every")),
            messages=self.messages and str(self.messages),
            beforeDrain=self.before_drain or None,
            replicas=self.replicas,
        )


def _body(**fields: Any) -> Dict[str, Any]:
    return {k: v for k, v in fields.items() if v not in (None, "", 0, (), [], {}) or v is False}


def request_id() -> str:
    """An identity of one request, by which the node knows its repetitions."""
    return binascii.hexlify(os.urandom(16)).decode("ascii")


def _nothing(_: Dict[str, Any]) -> None:
    return None


def _epoch(d: Dict[str, Any]) -> int:
    return _values.number(d.get("epoch"))


PolicyLike = Union[None, str, PolicyRef, "Policy"]


def _confined(policy: PolicyLike) -> Dict[str, Any]:
    if policy is None:
        return {}
    if isinstance(policy, str):
        name, _, version = policy.partition("@")
        name, _, sandbox = name.partition(":")
        if version and not version.isdigit():
            raise errors.Invalid(f"policy {policy!r}: write NAME, NAME:SANDBOX or NAME:SANDBOX@VERSION")
        policy = PolicyRef(name, sandbox, int(version or 0))
    if isinstance(policy, PolicyRef):
        return {"policy": _body(name=policy.name, sandbox=policy.sandbox, version=policy.version)}
    if not hasattr(policy, "document"):
        raise errors.Invalid(
            f"policy is a Policy, or the name of one that is stored, and not a {type(policy).__name__}"
        )
    return {"document": policy.document()}


Started = Tuple[Ref, str]
"""A cell that runs, and its backend."""


def _started(d: Dict[str, Any]) -> Started:
    cell = _reports.part(d, "cell")
    report = _reports.part(d, "report")
    ref = Ref(_reports.word(cell, "tenant"), _reports.word(cell, "name"), _reports.word(report, "id"))
    if not ref.name:
        raise errors.ProtocolError("the node did not say what the cell is called")
    return ref, _reports.word(report, "backend")


def reported(r: _reports.Report, asked: Ref = Ref("", "")) -> Ref:
    """The cell of a report, which was asked for by a name."""
    return Ref(r.tenant or asked.tenant, r.name or asked.name, r.id)


def spawn(
    name: Optional[str],
    tenant: str = "",
    *,
    policy: PolicyLike = None,
    allowed_imports: Optional[Sequence[str]] = None,
    backend: str = "",
    memory: Optional[Size] = None,
    cpu: Optional[Seconds] = None,
    wall: Optional[Seconds] = None,
    output: Optional[Size] = None,
    files: Optional[int] = None,
    message: Optional[Size] = None,
    restarts: Optional[int] = None,
    topics: Sequence[str] = (),
    placement: Optional[Placement] = None,
    checkpointing: Optional[Checkpointing] = None,
    timeout: Optional[Seconds] = SHORT,
) -> Call[Started]:
    """Spawn."""
    if isinstance(allowed_imports, str) or isinstance(topics, str):
        raise errors.Invalid("allowed_imports and topics are lists of names")
    if allowed_imports is not None and not list(allowed_imports):
        raise errors.Invalid(
            "allowed_imports is empty, which the API takes for all that the policy permits: leave it out, "
            "or use a policy without imports"
        )
    limits = _body(
        memory=_limit("memory", memory, _values.size, str),
        cpu=_limit("cpu", cpu, _values.seconds, _values.duration),
        wall=_limit("wall", wall, _values.seconds, _values.duration),
        output=_limit("output", output, _values.size, str),
        files=_limit("files", files, _values.count, int),
        message=_limit("message", message, _values.size, str),
    )
    body = _body(
        tenant=tenant,
        name=name,
        allowedImports=list(allowed_imports or ()),
        backend=backend,
        limits=limits,
        topics=list(topics),
        placement=placement.body() if placement else None,
        requestId=request_id(),
        restart=None if restarts is None else _body(when="on-failure" if restarts else "never", max=restarts),
    )
    body.update(_confined(policy))
    if checkpointing is not None:
        body["checkpoint"] = checkpointing.body()  # also when it is empty: never
    return Call("CellService/Spawn", body, _started, timeout=_values.optional_seconds(timeout))


def _limit(what: str, given: Any, read: Callable[[Any, str], N], write: Callable[[N], Any]) -> Any:
    """The API's form of a limit; None: it is not given, which the API says by 0."""
    if given is None:
        return None
    value = read(given, what)
    if value < 1e-9:  # also of a second: the API counts nanoseconds
        raise errors.Invalid(f"{what} {given!r}: a limit is more than nothing; None leaves the policy's")
    return write(value)


def exec_(
    cell: Ref,
    code: str,
    file: str = "",
    dialect: str = "",
    args: Sequence[str] = (),
    timeout: Optional[Seconds] = None,
    of: str = "",
) -> Call[int]:
    """Exec: the epoch that it ran in. ``of`` is what its identity begins with."""
    if not isinstance(code, str):  # None would be no code, which runs
        raise errors.Invalid(f"code is a text, and not a {type(code).__name__}")
    words = list(args)
    if isinstance(args, str) or not all(isinstance(w, str) for w in words):
        raise errors.Invalid("args is a list of texts, as sys.argv")
    identity = of + request_id()
    body = cell.body(code=code, file=file, dialect=dialect, args=words, requestId=identity)
    return Call("CellService/Exec", body, _epoch, timeout=_values.optional_seconds(timeout))


def call(
    cell: Ref,
    target: str,
    args: Sequence[Any] = (),
    kwargs: Optional[Mapping[str, Any]] = None,
    timeout: Optional[Seconds] = None,
) -> Call[Any]:
    """Call: what the guest returned. One argument of bytes goes as it is."""
    body = cell.body(target=target, requestId=request_id())
    if len(args) == 1 and isinstance(args[0], (bytes, bytearray, memoryview)) and not kwargs:
        body["raw"] = base64.b64encode(args[0]).decode("ascii")
    else:
        if args:
            body["args"] = _values.to_json(list(args))
        if kwargs:
            body["kwargs"] = _values.to_json(dict(kwargs))

    def decode(d: Dict[str, Any]) -> Any:
        return _values.decode(d["value"]) if "value" in d else None

    return Call("CellService/Call", body, decode, timeout=_values.optional_seconds(timeout))


def send(cell: Ref, value: Any, timeout: Optional[Seconds] = SHORT) -> Call[int]:
    """Send: the epoch that got it."""
    body = cell.body(value=_values.encode(value), requestId=request_id())
    return Call("CellService/Send", body, _epoch, timeout=_values.optional_seconds(timeout))


def publish(tenant: str, topic: str, value: Any) -> Call[int]:
    """Publish: how many cells got it."""
    body = _body(tenant=tenant, topic=topic, value=_values.encode(value))
    return Call("CellService/Publish", body, lambda d: _values.number(d.get("delivered")), repeatable=False)


Item = Tuple[Any, Optional[errors.PyIsolateError], str]
"""A post, or why it cannot be read; or why an exec failed, and the identity of its request."""


def recv(cell: Ref, most: int = 1, timeout: Optional[Seconds] = None) -> Call[List[Item]]:
    """Recv: what was posted; nothing when the time was over. What is taken is taken once, so
    it is never repeated."""
    body = cell.body(max=most)
    wait = _values.optional_seconds(timeout)
    if wait is not None:
        body["wait"] = _values.duration(wait)

    def decode(d: Dict[str, Any]) -> List[Item]:
        return [_item(i) for i in _reports.dicts(d, "items")]

    return Call(
        "CellService/Recv", body, decode, repeatable=False, timeout=None if wait is None else wait + 10
    )


def _item(i: Dict[str, Any]) -> Item:
    """One item. It is taken, as those beside it are: what is wrong with it is its own error."""
    if "error" in i:
        return None, _detail.of_item(i["error"]), _reports.word(i, "requestId")
    try:
        return _values.decode(i.get("post", {})), None, ""
    except errors.PyIsolateError as error:
        return None, error, ""


def logs(cell: Ref, follow: bool) -> Call[_reports.Saying]:
    """Logs, a stream."""
    return Call("CellService/Logs", cell.body(follow=follow or None), _reports.saying, timeout=None)


def inspect(cell: Ref) -> Call[_reports.Report]:
    """Inspect."""
    return Call("CellService/Inspect", cell.body(), lambda d: _reports.report(_reports.part(d, "report")))


def list_cells(tenant: str) -> Call[List[_reports.Report]]:
    """List."""
    return Call(
        "CellService/List",
        _body(tenant=tenant),
        lambda d: [_reports.report(r) for r in _reports.dicts(d, "reports")],
    )


def stats(tenant: str) -> Call[_reports.Stats]:
    """Stats of all cells."""
    return Call("CellService/Stats", _body(tenant=tenant), _reports.stats)


def quarantine(cell: Ref, reason: str) -> Call[None]:
    """Quarantine."""
    return Call("CellService/Quarantine", cell.body(reason=reason), _nothing)


def kill(cell: Ref, reason: str) -> Call[None]:
    """Kill."""
    return Call("CellService/Kill", cell.body(reason=reason), _nothing)


def close(cell: Ref, timeout: Optional[Seconds]) -> Call[None]:
    """Close."""
    return Call("CellService/Close", cell.body(), _nothing, timeout=_values.optional_seconds(timeout))


def nodes() -> Call[List[_reports.Node]]:
    """ListNodes."""
    return Call("NodeService/ListNodes", {}, lambda d: [_reports.node(n) for n in _reports.dicts(d, "nodes")])


def events(
    after: Union[int, Mapping[str, int]],
    tenant: str,
    cell: str,
    kinds: Iterable[str],
    follow: bool,
    node: str = "",
) -> Call[Union[_reports.Event, _reports.Lost]]:
    """Events, a stream."""
    body = _body(tenant=tenant, cell=cell, kinds=list(kinds), follow=follow or None, node=node)
    if isinstance(after, Mapping):
        body["afterOf"] = {name: str(index) for name, index in after.items()}
    elif after:
        body["after"] = str(after)
    return Call("NodeService/Events", body, _reports.event, timeout=None)
