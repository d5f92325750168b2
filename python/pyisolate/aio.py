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
import contextlib
import functools
import sys
from types import TracebackType
from typing import (
    IO,
    Any,
    AsyncIterator,
    Callable,
    ContextManager,
    Dict,
    Generator,
    Generic,
    List,
    Mapping,
    Optional,
    Sequence,
    Type,
    TypeVar,
    Union,
    overload,
)

from . import _aclient, _calls, _orphan, _reports, _statecalls, _statefiles, errors
from ._aclient import Client, Stream
from ._asandbox import Sandbox
from ._calls import SHORT, Checkpointing, Placement, PolicyLike, Ref
from ._decorator import Sandboxed
from ._ship import Shipment
from ._values import Seconds, Size

__all__ = [
    "AsyncSandboxed",
    "Client",
    "Sandbox",
    "Spawning",
    "Stream",
    "attach",
    "checkpoint",
    "checkpoint_key",
    "checkpoints",
    "connect",
    "delete_checkpoint",
    "events",
    "export_checkpoint",
    "import_checkpoint",
    "list_active",
    "migrate",
    "nodes",
    "publish",
    "restore",
    "sandbox",
    "spawn",
    "stats",
]

R = TypeVar("R")


class Spawning:
    """A cell that is about to start: await it, or enter it with ``async with``."""

    def __init__(self, call: "_calls.Call[_calls.Started]", client: Optional[Client]) -> None:
        self._call = call
        self._client = _aclient.given(client)
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
        client = await _aclient.chosen(self._client)
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
    checkpointing: Optional[Checkpointing] = None,
    tenant: str = "",
    timeout: Optional[Seconds] = SHORT,
    client: Optional[Client] = None,
) -> Spawning:
    """Starts a cell, as :func:`pyisolate.spawn`: ``await`` it, or ``async with`` it."""
    call = _calls.spawn(
        name, tenant, policy=policy, allowed_imports=allowed_imports, backend=backend, memory=memory, cpu=cpu, wall=wall,
        output=output, files=files, message=message, restarts=restarts, topics=topics, placement=placement,
        checkpointing=checkpointing, timeout=timeout,
    )  # fmt: skip
    return Spawning(call, client)


async def connect(server: Optional[str] = None, token: Optional[str] = None) -> Client:
    """A client of a node, as :func:`pyisolate.connect` finds it, for the running event loop."""
    from . import _client

    found = await asyncio.get_running_loop().run_in_executor(None, _client.connect, server, token)
    return Client(found.address)


async def attach(name: str, *, tenant: str = "", client: Optional[Client] = None) -> Sandbox:
    """A cell that runs already."""
    client = await _aclient.chosen(client)
    asked = Ref(tenant, name)
    report = await client.do(_calls.inspect(asked))
    return Sandbox(client, _calls.reported(report, asked), report.backend)


async def list_active(tenant: str = "", *, client: Optional[Client] = None) -> Dict[str, Sandbox]:
    """The cells that run, as :func:`pyisolate.list_active`."""
    client = await _aclient.chosen(client)
    out: Dict[str, Sandbox] = {}
    for report in await client.do(_calls.list_cells(tenant)):
        if report.state in _calls.ALIVE:
            ref = _calls.reported(report)
            out[ref.short()] = Sandbox(client, ref, report.backend)
    return out


async def events(
    *,
    follow: bool = True,
    after: Union[int, Mapping[str, int]] = 0,
    kinds: Sequence[str] = (),
    tenant: str = "",
    cell: str = "",
    node: str = "",
    client: Optional[Client] = None,
) -> AsyncIterator[Union[_reports.Event, _reports.Lost]]:
    """What happens to cells, hosts and policies, as :func:`pyisolate.events`."""
    client = await _aclient.chosen(client)
    async with client.stream(_calls.events(after, tenant, cell, kinds, follow, node)) as stream:
        async for event in stream:
            yield event


async def checkpoint(sandbox: Sandbox, recipient: str = "") -> _reports.Checkpoint:
    """As :meth:`Sandbox.checkpoint`."""
    return await sandbox.checkpoint(recipient)


async def checkpoints(
    name: str = "", *, tenant: str = "", client: Optional[Client] = None
) -> List[_reports.Checkpoint]:
    """The checkpoints that there are, of one cell or all."""
    return await (await _aclient.chosen(client)).do(_statecalls.list_checkpoints(tenant, name))


async def delete_checkpoint(
    checkpoint: Union[str, _reports.Checkpoint], *, client: Optional[Client] = None
) -> None:
    """Removes a checkpoint, or that of an id, for good."""
    await (await _aclient.chosen(client)).do(_statecalls.delete_checkpoint(checkpoint))


@contextlib.asynccontextmanager
async def _in_threads(file: ContextManager[IO[bytes]]) -> AsyncIterator[IO[bytes]]:
    """A file that is opened and closed without making the loop wait: to have it on the disk takes long."""
    opened = await asyncio.to_thread(file.__enter__)
    try:
        yield opened
    except BaseException:
        file.__exit__(*sys.exc_info())
        raise
    await asyncio.to_thread(file.__exit__, None, None, None)


async def export_checkpoint(
    checkpoint: Union[str, _reports.Checkpoint],
    file: _statefiles.File,
    recipient: str = "",
    *,
    client: Optional[Client] = None,
) -> int:
    """Writes the file of a checkpoint, as :func:`pyisolate.export_checkpoint`; it is written in threads."""
    call = _statecalls.export_checkpoint(checkpoint, recipient)
    client = await _aclient.chosen(client)
    size = 0
    async with _in_threads(_statefiles.writing(file)) as out:
        async with client.stream(call) as stream:
            while True:
                piece = await stream.next(_statecalls.PATIENCE)
                if piece is None:
                    return size
                size += await asyncio.to_thread(_statefiles.write, out, piece)


async def import_checkpoint(
    file: _statefiles.File, identity: Optional[_statefiles.File] = None, *, client: Optional[Client] = None
) -> _reports.Checkpoint:
    """Has the node keep the checkpoint of a file, as :func:`pyisolate.import_checkpoint`; it is read
    in threads."""
    call = _statecalls.import_checkpoint(await asyncio.to_thread(_statefiles.secret, identity))
    client = await _aclient.chosen(client)
    async with _in_threads(_statefiles.reading(file)) as source:
        return await client.upload(call, _statefiles.pieces(source))


async def checkpoint_key(path: _statefiles.Path) -> str:
    """The key of an identity, as :func:`pyisolate.checkpoint_key`."""
    return await asyncio.to_thread(_statefiles.key, path)


def restore(
    checkpoint: Union[str, _reports.Checkpoint],
    name: str = "",
    *,
    tenant: str = "",
    node: str = "",
    client: Optional[Client] = None,
) -> Spawning:
    """Starts a cell from a checkpoint, as :func:`pyisolate.restore`: ``await`` it, or ``async with`` it."""
    return Spawning(_statecalls.restore(checkpoint, tenant, name, node), client)


async def migrate(
    sandbox: Sandbox, node: str, *, progress: Optional[Callable[[_reports.Move], object]] = None
) -> _reports.Move:
    """Moves a running cell to another node, as :func:`pyisolate.migrate`."""
    last = None
    async with sandbox.migrate(node) as moves:
        async for last in moves:
            if progress is not None:
                progress(last)
    return _statecalls.arrived(last)


async def publish(topic: str, value: Any, *, tenant: str = "", client: Optional[Client] = None) -> int:
    """Sends a value to all cells that hear a topic, and tells how many got it."""
    return await (await _aclient.chosen(client)).do(_calls.publish(tenant, topic, value))


async def nodes(*, client: Optional[Client] = None) -> List[_reports.Node]:
    """The nodes that the node knows, itself first."""
    return await (await _aclient.chosen(client)).do(_calls.nodes())


async def stats(tenant: str = "", *, client: Optional[Client] = None) -> _reports.Stats:
    """What a tenant's cells, or all that may be seen, have and have used together."""
    return await (await _aclient.chosen(client)).do(_calls.stats(tenant))


class AsyncSandboxed(Generic[R]):
    """A function that is called in a cell, and awaited. ``local`` is the function itself."""

    def __init__(self, function: Sandboxed[R]) -> None:
        functools.update_wrapper(self, function.local)
        self._function = function
        self.local = function.local
        self.__pyisolate_function__ = function.__pyisolate_function__

    def __repr__(self) -> str:
        return repr(self._function)

    async def __call__(self, /, *args: Any, **kwargs: Any) -> R:
        left, shipment = self._function.clock(), Shipment(self.local)
        async with spawn(policy=self._function.policy, **self._function.spawning(left)) as cell:
            try:
                await cell.exec(shipment.code, file="<shipped>", timeout=left())
                # Not by its method, whose own timeout a keyword of the function's may be called.
                result: R = await cell._client.do(_calls.call(cell._ref, shipment.entry, args, kwargs, left()))
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
        return AsyncSandboxed(Sandboxed(function, policy, timeout, options, _aclient.given))
    return lambda f: AsyncSandboxed(Sandboxed(f, policy, timeout, options, _aclient.given))
