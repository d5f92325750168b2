"""Sandboxes of asyncio, as :mod:`._sandbox` has the blocking ones."""

from __future__ import annotations

import contextlib
import time
from types import TracebackType
from typing import Any, AsyncIterator, List, Optional, Sequence, Type, Union

from . import _calls, _reports, _statecalls, _values, errors
from ._aclient import Client, Stream
from ._calls import Ref
from ._sandbox import BATCH, Posts, had_ended, value_of
from ._values import Seconds


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
        return f"<pyisolate.aio.{type(self).__name__} {self._ref}>"

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
        # What failed first is what counts.
        with contextlib.suppress(errors.PyIsolateError):
            await self.kill("its program failed")
        with contextlib.suppress(errors.PyIsolateError):
            await self.close()

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

    async def call(self, target: str, /, *args: Any, timeout: Optional[Seconds] = None, **kwargs: Any) -> Any:
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
        """Ends it now. No error if it has ended before."""
        with had_ended(self._client.address):
            await self._client.do(_calls.kill(self._ref, reason))

    async def close(self, timeout: Seconds = 5.0) -> None:
        """Interrupts what is under way, ends the cell and frees its name; a cell that has not ended
        in so long is killed. No error if it has ended before."""
        with had_ended(self._client.address):
            try:
                await self._client.do(_calls.close(self._ref, timeout))
            except errors.Timeout:
                await self.kill("it did not end in time")
                await self._client.do(_calls.close(self._ref, _calls.SHORT))

    async def checkpoint(self, recipient: str = "") -> _reports.Checkpoint:
        """Seals the cell's state into a checkpoint."""
        return await self._client.do(_statecalls.checkpoint(self._ref, recipient))

    async def checkpoints(self) -> List[_reports.Checkpoint]:
        """The checkpoints that are kept under its name, the newest first."""
        return await self._client.do(_statecalls.list_checkpoints(self.tenant, self.name))

    def migrate(self, node: str) -> Stream[_reports.Move]:
        """Moves the running cell to another node and tells how that goes. To close the stream
        early ends the move, if that is still possible."""
        return self._client.stream(_statecalls.migrate(self._ref, node))

    async def abort_migration(self) -> None:
        """Ends a move that is under way: the cell goes on where it was."""
        await self._client.do(_statecalls.abort_migration(self._ref))
