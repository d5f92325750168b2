"""The calls about states of cells, checkpoints and moves, as :mod:`._calls` has those about cells."""

from __future__ import annotations

import base64
from typing import Any, Dict, List, Optional, Union

from . import _reports, errors
from ._calls import Call, Ref, Started, _body, _nothing, _started, request_id

PATIENCE = 60.0  # seconds for what takes or reads a state
_IMPORT = 600.0  # seconds that a node takes for a file, at most


def identity(checkpoint: Union[str, _reports.Checkpoint]) -> str:
    """The id of a checkpoint, or what is one."""
    found = checkpoint if isinstance(checkpoint, str) else checkpoint.id
    if not found:
        raise errors.Invalid("a checkpoint without an id: pass what checkpoint() returned, or its id")
    return found


def checkpoint(cell: Ref, recipient: str) -> Call[_reports.Checkpoint]:
    """Checkpoint."""
    body = cell.body(recipient=recipient, requestId=request_id())
    return Call(
        "CellService/Checkpoint",
        body,
        lambda d: _reports.checkpoint(_reports.part(d, "checkpoint")),
        timeout=PATIENCE,
    )


def list_checkpoints(tenant: str, name: str) -> Call[List[_reports.Checkpoint]]:
    """ListCheckpoints."""
    return Call(
        "CellService/ListCheckpoints", _body(tenant=tenant, name=name),
        lambda d: [_reports.checkpoint(c) for c in _reports.dicts(d, "checkpoints")],
    )  # fmt: skip


def delete_checkpoint(of: Union[str, _reports.Checkpoint]) -> Call[None]:
    """DeleteCheckpoint."""
    return Call("CellService/DeleteCheckpoint", _body(id=identity(of)), _nothing, repeatable=False)


def export_checkpoint(of: Union[str, _reports.Checkpoint], recipient: str) -> Call[bytes]:
    """ExportCheckpoint, a stream: the file, in pieces."""
    return Call("CellService/ExportCheckpoint", _body(id=identity(of), recipient=recipient), _piece, timeout=None)


def _piece(d: Dict[str, Any]) -> bytes:
    try:
        return base64.b64decode(d.get("data", ""), validate=True)
    except (TypeError, ValueError):
        raise errors.ProtocolError("a piece of the checkpoint's file is no base64") from None


def import_checkpoint(secret: str) -> Call[_reports.Checkpoint]:
    """ImportCheckpoint, before the pieces of the file that :func:`file_piece` makes."""
    return Call(
        "CellService/ImportCheckpoint",
        _body(identity=secret),
        lambda d: _reports.checkpoint(_reports.part(d, "checkpoint")),
        repeatable=False,
        timeout=_IMPORT,
    )


def file_piece(data: bytes) -> Dict[str, Any]:
    """A message with a piece of a file, of 1 MiB at most."""
    return {"data": base64.b64encode(data).decode("ascii")}


def restore(of: Union[str, _reports.Checkpoint], tenant: str, name: str, node: str) -> Call[Started]:
    """Restore."""
    body = _body(id=identity(of), tenant=tenant, name=name, node=node, requestId=request_id())
    return Call("CellService/Restore", body, _started, timeout=PATIENCE)


def migrate(cell: Ref, node: str) -> Call[_reports.Move]:
    """Migrate, a stream."""
    body = cell.body(node=node, requestId=request_id())
    return Call("CellService/Migrate", body, _reports.move, timeout=None)


def abort_migration(cell: Ref) -> Call[None]:
    """AbortMigration."""
    return Call("CellService/AbortMigration", cell.body(), _nothing)


def arrived(last: Optional[_reports.Move]) -> _reports.Move:
    """The last message of a move, which has to say that it is done."""
    if last is None or last.phase != "done":
        raise errors.ProtocolError("the node said nothing of the end of the move")
    return last
