"""The SDK for asyncio: the same names as in :mod:`pyisolate`, to be awaited.

::

    from pyisolate import aio

    async def main():
        async with aio.spawn("demo", allowed_imports=["math"]) as sandbox:
            await sandbox.exec("from math import sqrt; post(sqrt(2))")
            print(await sandbox.recv())  # 1.4142135623730951

A coroutine that is cancelled interrupts what it has begun in a cell.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import (
    Any,
    AsyncIterator,
    Callable,
    Dict,
    Generator,
    Generic,
    List,
    Optional,
    Sequence,
    Type,
    TypeVar,
    Union,
    overload,
)

from . import _aclient, _calls, _orphan, _reports, _values, errors
from ._aclient import Client, Stream
from ._calls import SHORT, Placement, PolicyLike, Ref
from ._decorator import Sandboxed
from ._sandbox import BATCH, Posts, value_of
from ._ship import Shipment
from ._values import Seconds, Size

__all__ = [
    "AsyncSandboxed",
    "Client",
    "Sandbox",
    "Spawning",
    "Stream",
    "attach",
    "connect",
    "events",
    "list_active",
    "migrate",
    "nodes",
    "publish",
    "sandbox",
    "spawn",
    "stats",
]

R = TypeVar("R")


class Sandbox:
    """A running cell, as :class:`pyisolate.Sandbox`."""

    def __init__(self, client: Client, ref: Ref, backend: str = "") -> None:
        self._client = client
        self._ref = ref
        self._posts = Posts()
        self.backend = backend

    @property
    def name(self) -> str:
        """Its name, unique in its tenant."""
        return self._ref.name

    @property
    def tenant(self) -> str:
        """Whose it is."""
        return self._ref.tenant

    def __repr__(self) -> str:
        return f"<{type(self).__module__}.{type(self).__name__} {self._ref}>"

    async def __aenter__(self) -> "Sandbox":
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        if kind is None:
            await self.close()
            return
        try:
            await self.kill("its program failed")
            await self.close()
        except errors.PyIsolateError:
            pass  # what failed first is what counts

    async def exec(
        self,
        code: str,
        *,
        file: str = "",
        args: Sequence[str] = (),
        dialect: str = "",
        timeout: Optional[Seconds] = None,
    ) -> None:
        """Runs source in the cell's ``__main__``; as :meth:`pyisolate.Sandbox.exec`."""
        await self._client.do(_calls.exec_(self._ref, code, file, dialect, args, timeout, self._posts.own))

    async def call(self, target: str, *args: Any, timeout: Optional[Seconds] = None, **kwargs: Any) -> Any:
        """Calls what a dotted name means in the cell and returns the result."""
        return await self._client.do(_calls.call(self._ref, target, args, kwargs, timeout))

    async def post(self, value: Any) -> None:
        """Puts a value (JSON, or ``bytes``) into the cell's inbox."""
        await self._client.do(_calls.send(self._ref, value))

    send = post

    async def recv(self, timeout: Optional[Seconds] = None) -> Any:
        """The next value that the guest has posted; as :meth:`pyisolate.Sandbox.recv`."""
        wait = _values.optional_seconds(timeout)
        until = None if wait is None else time.monotonic() + wait
        while (item := self._posts.take()) is None:
            left = None if until is None else max(0.0, until - time.monotonic())
            items = await self._client.do(_calls.recv(self._ref, 1, left))
            self._posts.add(items)
            if not items and until is not None and time.monotonic() >= until:
                raise errors.Timeout(f"cell {self._ref} posted nothing within {wait:g} s")
        return value_of(item)

    async def posts(self, timeout: Optional[Seconds] = None) -> AsyncIterator[Any]:
        """Iterates over what the guest posts; as :meth:`pyisolate.Sandbox.posts`."""
        wait = _values.optional_seconds(timeout)
        while True:
            item = self._posts.take()
            if item is None:
                try:
                    items = await self._client.do(_calls.recv(self._ref, BATCH, wait))
                except errors.CellGone:
                    return
                if not items and wait is not None:
                    return
                self._posts.add(items)
            else:
                yield value_of(item)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self.posts()

    def logs(self, follow: bool = False) -> Stream[_reports.Saying]:
        """What the guest logged and printed, measured and was refused."""
        return self._client.stream(_calls.logs(self._ref, follow))

    def events(
        self, follow: bool = False, kinds: Sequence[str] = ()
    ) -> Stream[Union[_reports.Event, _reports.Lost]]:
        """What happened to the cell."""
        return self._client.stream(_calls.events(0, self.tenant, self.name, kinds, follow))

    async def inspect(self) -> _reports.Report:
        """What it is and has used, seen from outside."""
        return await self._client.do(_calls.inspect(self._ref))

    stats = inspect

    async def quarantine(self, reason: str = "") -> None:
        """Interrupts the guest and lets nothing more run; posts can still be received."""
        await self._client.do(_calls.quarantine(self._ref, reason))

    async def kill(self, reason: str = "") -> None:
        """Ends it now."""
        await self._client.do(_calls.kill(self._ref, reason))

    async def close(self, timeout: Seconds = 5.0) -> None:
        """Lets what is under way finish for so long, ends the cell and frees its name."""
        try:
            await self._client.do(_calls.close(self._ref, timeout))
        except (errors.NotFound, errors.CellGone):
            pass
        except errors.Timeout:
            await self.kill("it did not end in time")
            await self._client.do(_calls.close(self._ref, timeout))

    async def checkpoint(self, recipient: str = "") -> _reports.Checkpoint:
        """Seals the cell's state into a checkpoint."""
        return await self._client.do(_calls.checkpoint(self._ref, recipient))

    def migrate(self, node: str) -> Stream[_reports.Move]:
        """Moves the running cell to another node and tells how that goes. To close the stream
        early ends the move, if that is still possible."""
        return self._client.stream(_calls.migrate(self._ref, node))

    async def abort_migration(self) -> None:
        """Ends a move that is under way: the cell goes on where it was."""
        await self._client.do(_calls.abort_migration(self._ref))


class Spawning:
    """A cell that is about to start: await it, or enter it with ``async with``."""

    def __init__(self, call: "_calls.Call[_calls.Started]", client: Optional[Client]) -> None:
        self._call = call
        self._client = client
        self._sandbox: Optional[Sandbox] = None

    def __await__(self) -> Generator[Any, None, Sandbox]:
        return self._start().__await__()

    async def __aenter__(self) -> Sandbox:
        self._sandbox = await self._start()
        return self._sandbox

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        assert self._sandbox is not None
        await self._sandbox.__aexit__(kind, error, trace)

    async def _start(self) -> Sandbox:
        client = self._client or await _aclient.default()
        with _orphan.ended(client.address, self._call):
            ref, backend = await client.do(self._call)
        return Sandbox(client, ref, backend)


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
    tenant: str = "",
    timeout: Optional[Seconds] = SHORT,
    client: Optional[Client] = None,
) -> Spawning:
    """Starts a cell, as :func:`pyisolate.spawn`: ``await`` it, or ``async with`` it."""
    call = _calls.spawn(
        name, tenant, policy=policy, allowed_imports=allowed_imports, backend=backend, memory=memory, cpu=cpu, wall=wall,
        output=output, files=files, message=message, restarts=restarts, topics=topics, placement=placement,
        timeout=timeout,
    )  # fmt: skip
    return Spawning(call, client)


async def connect(server: Optional[str] = None, token: Optional[str] = None) -> Client:
    """A client of a node, as :func:`pyisolate.connect` finds it, for the running event loop."""
    from . import _client

    found = await asyncio.get_running_loop().run_in_executor(None, _client.connect, server, token)
    return Client(found.address)


async def attach(name: str, *, tenant: str = "", client: Optional[Client] = None) -> Sandbox:
    """A cell that runs already."""
    client = client or await _aclient.default()
    asked = Ref(tenant, name)
    report = await client.do(_calls.inspect(asked))
    return Sandbox(client, _calls.reported(report, asked), report.backend)


async def list_active(tenant: str = "", *, client: Optional[Client] = None) -> Dict[str, Sandbox]:
    """The cells that run, as :func:`pyisolate.list_active`."""
    client = client or await _aclient.default()
    out: Dict[str, Sandbox] = {}
    for report in await client.do(_calls.list_cells(tenant)):
        if report.state in _calls.ALIVE:
            ref = _calls.reported(report)
            out[ref.short()] = Sandbox(client, ref, report.backend)
    return out


async def events(
    *,
    follow: bool = True,
    after: int = 0,
    kinds: Sequence[str] = (),
    tenant: str = "",
    cell: str = "",
    client: Optional[Client] = None,
) -> AsyncIterator[Union[_reports.Event, _reports.Lost]]:
    """What happens to cells, hosts and policies, as :func:`pyisolate.events`."""
    client = client or await _aclient.default()
    async with client.stream(_calls.events(after, tenant, cell, kinds, follow)) as stream:
        async for event in stream:
            yield event


async def migrate(
    sandbox: Sandbox, node: str, *, progress: Optional[Callable[[_reports.Move], object]] = None
) -> _reports.Move:
    """Moves a running cell to another node, as :func:`pyisolate.migrate`."""
    last = None
    async with sandbox.migrate(node) as moves:
        async for last in moves:
            if progress is not None:
                progress(last)
    return _calls.arrived(last)


async def publish(topic: str, value: Any, *, tenant: str = "", client: Optional[Client] = None) -> int:
    """Sends a value to all cells that hear a topic, and tells how many got it."""
    return await (client or await _aclient.default()).do(_calls.publish(tenant, topic, value))


async def nodes(*, client: Optional[Client] = None) -> List[_reports.Node]:
    """The nodes that the node knows, itself first."""
    return await (client or await _aclient.default()).do(_calls.nodes())


async def stats(tenant: str = "", *, client: Optional[Client] = None) -> _reports.Stats:
    """What a tenant's cells, or all that may be seen, have and have used together."""
    return await (client or await _aclient.default()).do(_calls.stats(tenant))


class AsyncSandboxed(Generic[R]):
    """A function that is called in a cell, and awaited. ``local`` is the function itself."""

    def __init__(self, function: Sandboxed[R]) -> None:
        self._function = function
        self.local = function.local
        self.__pyisolate_function__ = function.__pyisolate_function__
        self.__doc__ = function.__doc__
        self.__name__ = function.local.__name__

    async def __call__(self, *args: Any, **kwargs: Any) -> R:
        left, shipment = self._function.clock(), Shipment(self.local)
        async with spawn(policy=self._function.policy, **self._function.spawning(left)) as cell:
            try:
                await cell.exec(shipment.code, file="<shipped>", timeout=left())
                result: R = await cell.call(shipment.entry, *args, timeout=left(), **kwargs)
                return result
            except errors.PyIsolateError as error:
                shipment.explain(error)
                raise


@overload
def sandbox(function: Callable[..., R]) -> AsyncSandboxed[R]:
    ...


@overload
def sandbox(
    function: None = None, *, policy: PolicyLike = None, timeout: Optional[Seconds] = None, **options: Any
) -> Callable[[Callable[..., R]], AsyncSandboxed[R]]:
    ...


def sandbox(
    function: Optional[Callable[..., R]] = None,
    *,
    policy: PolicyLike = None,
    timeout: Optional[Seconds] = None,
    **options: Any,
) -> Any:
    """As :func:`pyisolate.sandbox`; the function it makes is awaited."""
    if function is not None:
        return AsyncSandboxed(Sandboxed(function, policy, timeout, options))
    return lambda f: AsyncSandboxed(Sandboxed(f, policy, timeout, options))
