"""States of cells: checkpoints, and moves between nodes."""

from __future__ import annotations

import contextlib
from typing import Callable, List, Optional, Union

from . import _client, _orphan, _reports, _statecalls
from ._client import Client
from ._sandbox import Sandbox


def checkpoint(sandbox: Sandbox, recipient: str = "") -> _reports.Checkpoint:
    """As :meth:`Sandbox.checkpoint`."""
    return sandbox.checkpoint(recipient)


def checkpoints(
    name: str = "", *, tenant: str = "", client: Optional[Client] = None
) -> List[_reports.Checkpoint]:
    """The checkpoints that there are, of one cell or all."""
    return (client or _client.default()).do(_statecalls.list_checkpoints(tenant, name))


def delete_checkpoint(
    checkpoint: Union[str, _reports.Checkpoint], *, client: Optional[Client] = None
) -> None:
    """Removes a checkpoint, or that of an id, for good. :class:`NotFound`: there is none."""
    (client or _client.default()).do(_statecalls.delete_checkpoint(checkpoint))


def restore(
    checkpoint: Union[str, _reports.Checkpoint],
    name: str = "",
    *,
    tenant: str = "",
    node: str = "",
    client: Optional[Client] = None,
) -> Sandbox:
    """Starts a cell from a checkpoint, or its id: under the name of the cell that it is of, or
    another. It is spawned as that one was, under the policy that is in force now. With ``""`` and
    a name, the suspended cell of that name goes on."""
    client = client or _client.default()
    call = _statecalls.restore(checkpoint, tenant, name, node)
    with _orphan.ended(client.address, call):
        ref, backend = client.do(call)
    return Sandbox(client, ref, backend)


def migrate(
    sandbox: Sandbox, node: str, *, progress: Optional[Callable[[_reports.Move], object]] = None
) -> _reports.Move:
    """Moves a running cell to another node, and returns how that ended.

    :param progress: is called with each step; what it raises ends the move, if that is still
        possible.
    """
    last = None
    with contextlib.closing(sandbox.migrate(node)) as moves:
        for last in moves:
            if progress is not None:
                progress(last)
    return _statecalls.arrived(last)
