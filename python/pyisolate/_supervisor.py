"""A supervisor: a node of one's own with a mode, and cells of it that stand ready."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from types import TracebackType
from typing import Any, Deque, Dict, Optional, Type

from . import _calls, _node, _reports, _sandbox, errors, policy
from ._client import Client, given
from ._sandbox import Sandbox

MODES = ("hardened", "dev", "compatibility")


class Supervisor:
    """A node, its mode, and a pool of cells that stand ready.

    :param rollout_mode: "hardened" (no cell where a layer of the kernel is missing), "dev"
        (without what is missing) or "compatibility" (without the layers). Without a client a
        private node is started with it; with one, the node must have this mode.
    :param warm_pool: how many cells of ``options`` stand ready, so that ``spawn()`` without a
        name and options does not wait for one to start.
    :param client: the node; None: a private one of this supervisor.
    :param options: of the cells, as for :func:`spawn`; ``spawn`` takes others for one cell.

    A context manager: it closes the cells that it has started, and ends its private node.
    """

    def __init__(
        self,
        rollout_mode: Optional[str] = None,
        warm_pool: int = 0,
        *,
        client: Optional[Client] = None,
        **options: Any,
    ) -> None:
        if rollout_mode is not None and rollout_mode not in MODES:
            raise errors.Invalid(f"rollout_mode {rollout_mode!r}: it is one of {', '.join(MODES)}")
        if not 0 <= warm_pool <= 256:
            raise errors.Invalid(f"warm_pool {warm_pool}: it is a number of cells, 256 at most")
        client = given(client)
        self._node: Optional[_node.PrivateNode] = None
        if client is None:
            self._node = _node.PrivateNode(["--mode", rollout_mode] if rollout_mode else [])
            client = Client._at(self._node.address)
        elif rollout_mode is not None:
            _require(client, rollout_mode)
        self.client = client
        self._options: Dict[str, Any] = options
        self._cells: Dict[_calls.Ref, Sandbox] = {}
        self._warm: Deque[Sandbox] = deque()
        self._size = warm_pool
        self._state = threading.Condition()
        self._failed: Optional[Exception] = None
        self._closed = False
        self._filler = threading.Thread(target=self._fill, name="pyisolate-warm-pool", daemon=True)
        if warm_pool:
            self._filler.start()

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def spawn(self, name: Optional[str] = None, **options: Any) -> Sandbox:
        """Starts a cell, or takes one that stands ready: without a name and options."""
        if self._closed:
            raise self._over()
        if name is None and not options and self._size:
            with self._state:
                if self._failed is not None:
                    failed, self._failed = self._failed, None
                    self._state.notify_all()  # try again
                    raise failed
            cell = self._ready()
            if cell is not None:
                return cell
        return self._own(_sandbox.spawn(name, client=self.client, **{**self._options, **options}))

    def _ready(self) -> Optional[Sandbox]:
        """One that stands ready, if there is. What has ended meanwhile does not."""
        while True:
            with self._state:
                if not self._warm:
                    return None
                cell = self._own(self._warm.popleft())
                self._state.notify_all()
            try:
                if cell.inspect().state == "running":
                    return cell
                cell.close()
            except (errors.NotFound, errors.CellGone):
                self._disown(cell._ref)
            except errors.PyIsolateError:
                pass  # whether it is gone is not known: it is closed with the others

    def _own(self, cell: Sandbox) -> Sandbox:
        """Keeps a cell until it is closed or killed."""
        cell._ended = self._disown
        with self._state:
            self._cells[cell._ref] = cell
            closed = self._closed
        if closed:  # meanwhile, and without it
            cell.close()
            raise self._over()
        return cell

    def _over(self) -> errors.PyIsolateError:
        return errors.Unavailable("the supervisor is closed")

    def _disown(self, cell: _calls.Ref) -> None:
        with self._state:
            self._cells.pop(cell, None)

    @property
    def warm(self) -> int:
        """How many cells stand ready now."""
        return len(self._warm)

    def list_active(self, tenant: str = "") -> Dict[str, Sandbox]:
        """The cells of the node that run, those that stand ready among them."""
        return _sandbox.list_active(tenant, client=self.client)

    def stats(self, tenant: str = "") -> _reports.Stats:
        """What the node's cells have and have used together."""
        return _sandbox.stats(tenant, client=self.client)

    def reload_policy(
        self, path: str, token: Optional[str] = None, *, name: Optional[str] = None
    ) -> _reports.Version:
        """As :func:`pyisolate.policy.refresh`, on this node."""
        return policy.refresh(path, token, name=name, client=self.client)

    def close(self) -> None:
        """Closes the cells that it has started and ends its private node."""
        with self._state:
            if self._closed:
                return
            self._closed = True
            self._state.notify_all()
            cells = [*self._cells.values(), *self._warm]
            self._warm.clear()
        if self._node is None:
            for cell in cells:
                try:
                    cell.close()
                except errors.PyIsolateError:
                    pass  # it has ended otherwise
        if self._filler.is_alive():
            self._filler.join(_calls.SHORT)
        if self._node is not None:
            self.client.close()
            self._node.close()

    def _fill(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(
                    lambda: self._closed or len(self._warm) < self._size and self._failed is None
                )
                if self._closed:
                    return
            try:
                cell = _sandbox.spawn(client=self.client, **self._options)
            except Exception as error:  # also of an option that there is not: a TypeError
                with self._state:
                    self._failed = error  # whoever spawns next is told
                continue
            with self._state:
                if not self._closed:
                    self._warm.append(cell)
                    continue
            with contextlib.suppress(errors.PyIsolateError):  # as those that close ends
                cell.close()


def _require(client: Client, mode: str) -> None:
    nodes = client.do(_calls.nodes())
    found = nodes[0].mode if nodes else "unknown"
    if found != mode:
        raise errors.Invalid(
            f"node {client.address} has the mode {found}, not {mode}: start it with serve --mode {mode}"
        )
