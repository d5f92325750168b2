"""Sandboxes: cells as Python objects."""

from __future__ import annotations

import contextlib
import time
import weakref
from collections import deque
from types import TracebackType
from typing import Any, Callable, Deque, Dict, Generator, Iterator, List, Mapping, Optional, Sequence, Type, Union

from . import _calls, _client, _node, _orphan, _reports, _statecalls, _values, errors
from ._address import Address
from ._calls import SHORT, Checkpointing, Placement, PolicyLike, Ref
from ._client import Client, Stream
from ._values import Seconds, Size

BATCH = 32  # posts that an iteration takes at once


class Posts:
    """What was taken from a cell and not yet given to the program; of one kind of client."""

    def __init__(self) -> None:
        self.own = _calls.request_id() + "-"  # what the requests of its own execs begin with
        self._ready: Deque[_calls.Item] = deque()

    def add(self, items: List[_calls.Item]) -> None:
        """Takes what was received, without what the program knows: that it withdrew, and what
        its own execs failed with, each of which has raised its error."""
        self._ready.extend(
            i for i in items if not isinstance(i[1], errors.Cancelled) and not i[2].startswith(self.own)
        )

    def take(self) -> Optional[_calls.Item]:
        """The next item, which no other thread gets; None: there is none."""
        try:
            return self._ready.popleft()
        except IndexError:
            return None


def value_of(item: _calls.Item) -> Any:
    """The value of an item; raises if it is an error."""
    if item[1] is not None:
        raise item[1]
    return item[0]


@contextlib.contextmanager
def had_ended(address: Address) -> Iterator[None]:
    """Around ending a cell: none of the errors that say that it is no more."""
    try:
        yield
    except (errors.NotFound, errors.CellGone):
        pass
    except errors.Unavailable:
        if not _node.took_along(address):
            raise


class Sandbox:
    """A running cell. Made by :func:`spawn`; a context manager that closes it.

    It is this cell for ever: when it was closed and another has its name, methods raise
    :class:`CellGone`. All methods may be called from several threads; what runs code (``exec``, ``call``) is then
    run one after the other. Times are seconds, or texts as "500ms".
    """

    def __init__(self, client: Client, ref: Ref, backend: str = "", owned: bool = True) -> None:
        self._client = client
        self._ref = ref
        self._posts = Posts()
        self._ended: Callable[[Ref], None] = _nobody  # is told when the program has ended it
        self.backend = backend
        if owned:
            _active[ref] = self

    @property
    def name(self) -> str:
        """Its name, unique in its tenant."""
        return self._ref.name

    @property
    def tenant(self) -> str:
        """Whose it is."""
        return self._ref.tenant

    @property
    def client(self) -> Client:
        """The client of its node."""
        return self._client

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._ref}>"

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        if kind is None:
            self.close()
            return
        self._give_up("its program failed")  # what failed first is what counts

    def _give_up(self, reason: str) -> None:
        """Ends it at once, as far as the node lets it: a kill that is refused leaves it to be closed."""
        with contextlib.suppress(errors.PyIsolateError):
            self.kill(reason)
        with contextlib.suppress(errors.PyIsolateError):
            self.close()

    def exec(
        self,
        code: str,
        *,
        file: str = "",
        args: Sequence[str] = (),
        dialect: str = "",
        timeout: Optional[Seconds] = None,
    ) -> None:
        """Runs source in the cell's ``__main__``, which stays from one exec to the next.

        ``timeout`` bounds it; the guest is interrupted then. ``file`` is what tracebacks call
        the source, ``args`` is ``sys.argv[1:]``. Raises what the guest failed with:
        :class:`GuestError`, :class:`PolicyDenied`, :class:`Timeout`, :class:`MemoryExceeded`, …
        """
        self._client.do(_calls.exec_(self._ref, code, file, dialect, args, timeout, self._posts.own))

    def call(self, target: str, /, *args: Any, timeout: Optional[Seconds] = None, **kwargs: Any) -> Any:
        """Calls what a dotted name means in the cell's ``__main__``, or in a module that its
        policy permits (as "math.sqrt"), and returns the result. Arguments and results are
        JSON; a single argument of ``bytes`` goes as it is. Raises as :meth:`exec` does."""
        return self._client.do(_calls.call(self._ref, target, args, kwargs, timeout))

    def post(self, value: Any) -> None:
        """Puts a value (JSON, or ``bytes``) into the cell's inbox, where the guest takes it
        with ``recv()``. :class:`Busy`: the inbox is full."""
        self._client.do(_calls.send(self._ref, value))

    send = post

    def recv(self, timeout: Optional[Seconds] = None) -> Any:
        """The next value that the guest has posted, waiting for it. :class:`Timeout`: there
        was none in time. :class:`CellGone`: the cell has ended, and all was taken.

        An exec that failed somewhere else, as in another program, is an item in the order of
        the posts: its error is raised."""
        wait = _values.optional_seconds(timeout)
        until = None if wait is None else time.monotonic() + wait
        while (item := self._posts.take()) is None:
            left = None if until is None else max(0.0, until - time.monotonic())
            items = self._client.do(_calls.recv(self._ref, 1, left))
            self._posts.add(items)
            if not items and until is not None and time.monotonic() >= until:
                raise errors.Timeout(f"cell {self._ref} posted nothing within {wait:g} s")
        return value_of(item)

    def posts(self, timeout: Optional[Seconds] = None) -> Iterator[Any]:
        """Iterates over what the guest posts. It ends with the cell, or when nothing came for
        ``timeout``; without one it waits for as long as the cell lives. Takes several posts
        at once; those that the iteration leaves are what :meth:`recv` returns next."""
        wait = _values.optional_seconds(timeout)
        while True:
            item = self._posts.take()
            if item is None:
                try:
                    items = self._client.do(_calls.recv(self._ref, BATCH, wait))
                except errors.CellGone:
                    return
                if not items and wait is not None:
                    return
                self._posts.add(items)
            else:
                yield value_of(item)

    def __iter__(self) -> Iterator[Any]:
        return self.posts()

    def logs(self, follow: bool = False) -> Stream[_reports.Saying]:
        """What the guest logged and printed, measured and was refused: :class:`Log`,
        :class:`Metric`, :class:`Denial`, and :class:`Lost` for what is missing. First what the
        node has kept; with ``follow`` then what comes, until the cell ends."""
        return self._client.stream(_calls.logs(self._ref, follow))

    def events(
        self, follow: bool = False, kinds: Sequence[str] = ()
    ) -> Stream[Union[_reports.Event, _reports.Lost]]:
        """What happened to the cell, as :func:`pyisolate.events` has it."""
        return self._client.stream(_calls.events(0, self.tenant, self.name, kinds, follow))

    @property
    def stats(self) -> _reports.Report:
        """What it is and has used: ``stats.cpu``, ``stats.memory``, ``stats.state``, …; asks
        the node each time."""
        return self.inspect()

    def inspect(self) -> _reports.Report:
        """What it is and has used, seen from outside; nothing runs in it."""
        return self._client.do(_calls.inspect(self._ref))

    def quarantine(self, reason: str = "") -> None:
        """Interrupts the guest and lets nothing more run; posts can still be received."""
        self._client.do(_calls.quarantine(self._ref, reason))

    def kill(self, reason: str = "") -> None:
        """Ends it now. What is under way fails with :class:`CellGone` and the reason. No error if it
        has ended before, as for :meth:`close`."""
        with had_ended(self._client.address):
            self._client.do(_calls.kill(self._ref, reason))
        self._ended(self._ref)

    def close(self, timeout: Seconds = 5.0) -> None:
        """Interrupts what is under way, ends the cell and frees its name; a cell that has not ended
        in so long is killed. No error if it has ended before, also with a node of this program's."""
        _active.pop(self._ref, None)
        with had_ended(self._client.address):
            try:
                self._client.do(_calls.close(self._ref, timeout))
            except errors.Timeout:
                self._client.do(_calls.kill(self._ref, "it did not end in time"))
                self._client.do(_calls.close(self._ref, SHORT))
        self._ended(self._ref)

    def checkpoint(self, recipient: str = "") -> _reports.Checkpoint:
        """Seals the cell's state into a checkpoint. ``recipient`` is a key that only can open
        it. :class:`Unimplemented` where the node does not have it."""
        return self._client.do(_statecalls.checkpoint(self._ref, recipient))

    def checkpoints(self) -> List[_reports.Checkpoint]:
        """The checkpoints that are kept under its name, the newest first."""
        return self._client.do(_statecalls.list_checkpoints(self.tenant, self.name))

    def migrate(self, node: str) -> Generator[_reports.Move, None, None]:
        """Moves the running cell to another node and tells how that goes, step by step. What is
        asked of it meanwhile waits, and is done there. To end the iteration early, or
        :meth:`abort_migration`, ends the move if that is still possible: the cell goes on where
        it was. :class:`Unimplemented` where the node is by itself."""
        with self._client.stream(_statecalls.migrate(self._ref, node)) as moves:
            yield from moves

    def abort_migration(self) -> None:
        """Ends a move that is under way. :class:`Conflict` when it is too far for that,
        :class:`NotFound` when there is none."""
        self._client.do(_statecalls.abort_migration(self._ref))


def _nobody(_: Ref) -> None:
    pass


_active: "weakref.WeakValueDictionary[Ref, Sandbox]" = weakref.WeakValueDictionary()


def spawn(
    name: Optional[str] = None,
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
    tenant: str = "",
    timeout: Optional[Seconds] = SHORT,
    client: Optional[Client] = None,
) -> Sandbox:
    """Starts a cell and returns it.

    :param name: letters, digits, ``_`` and ``-``, 64 at most; None: one is made up.
    :param policy: what it may do: the name of a stored policy ("team/reader", with
        ":SANDBOX" if the policy has several and "@VERSION" to keep to one), or a
        :class:`Policy` of its own. Without one it may do nothing but compute.
    :param allowed_imports: only these modules, one at least. Without a policy and without this:
        the modules of the standard library that reach nothing.
    :param backend: "subinterpreter" or "process"; the least that policy and node allow.
    :param memory: bytes that the guest may hold, as ``64 << 20`` or "64MiB"; like all limits
        more than 0 and less than the policy's, which is 128 MiB where it says nothing.
    :param cpu: processor time of the cell's life.
    :param wall: time of each exec and call.
    :param output: bytes posted, logged and returned, in all.
    :param files: files held open at once.
    :param message: bytes of one value or source, at most 64 MiB; 1 MiB by default.
    :param restarts: how often within a minute it is started anew when it ended by a fault.
    :param topics: that it hears, see :func:`publish`.
    :param placement: on which node of a cluster it starts.
    :param checkpointing: when its state is kept by itself; None: as its policy says, or the node.
    :param client: the node; by default as :func:`connect` has it.
    """
    client = _client.chosen(client)
    call = _calls.spawn(
        name, tenant, policy=policy, allowed_imports=allowed_imports, backend=backend, memory=memory, cpu=cpu, wall=wall,
        output=output, files=files, message=message, restarts=restarts, topics=topics, placement=placement,
        checkpointing=checkpointing, timeout=timeout,
    )  # fmt: skip
    with _orphan.ended(client.address, call):
        ref, running = client.do(call)
    return Sandbox(client, ref, running)


def attach(name: str, *, tenant: str = "", client: Optional[Client] = None) -> Sandbox:
    """A cell that runs already. :class:`NotFound` if there is none."""
    client = _client.chosen(client)
    asked = Ref(tenant, name)
    report = client.do(_calls.inspect(asked))
    return Sandbox(client, _calls.reported(report, asked), report.backend, owned=False)


def list_active(tenant: str = "", *, client: Optional[Client] = None) -> Dict[str, Sandbox]:
    """The cells that run, of all programs, by name; those of other tenants than "default" by
    "TENANT/NAME"."""
    client = _client.chosen(client)
    out: Dict[str, Sandbox] = {}
    for report in client.do(_calls.list_cells(tenant)):
        if report.state in _calls.ALIVE:
            ref = _calls.reported(report)
            mine = _active.get(ref)
            out[ref.short()] = (
                mine
                if mine is not None and mine.client is client
                else Sandbox(client, ref, report.backend, owned=False)
            )
    return out


def events(
    *,
    follow: bool = True,
    after: Union[int, Mapping[str, int]] = 0,
    kinds: Sequence[str] = (),
    tenant: str = "",
    cell: str = "",
    node: str = "",
    client: Optional[Client] = None,
) -> Stream[Union[_reports.Event, _reports.Lost]]:
    """What happens to cells, hosts and policies on all nodes of the cluster: first what they
    have kept after the event of an index, by time, then, with ``follow``, what comes. ``kinds``
    chooses, as "MEM_KILL" or "DENIED", ``node`` one node. Of a node that does not answer there is an
    event "NODE_SILENT", and "NODE_BACK" when it does again. Whoever goes on after an earlier look
    gives as ``after`` the highest ``index`` that came of each ``node``.
    """
    return _client.chosen(client).stream(_calls.events(after, tenant, cell, kinds, follow, node))


def publish(topic: str, value: Any, *, tenant: str = "", client: Optional[Client] = None) -> int:
    """Sends a value to all cells of a tenant that hear a topic, and tells how many got it."""
    return _client.chosen(client).do(_calls.publish(tenant, topic, value))


def nodes(*, client: Optional[Client] = None) -> List[_reports.Node]:
    """The nodes that the node knows, itself first."""
    return _client.chosen(client).do(_calls.nodes())


def stats(tenant: str = "", *, client: Optional[Client] = None) -> _reports.Stats:
    """What a tenant's cells, or all that may be seen, have and have used together."""
    return _client.chosen(client).do(_calls.stats(tenant))
