"""States of cells: checkpoints, and moves between nodes."""

from __future__ import annotations

import contextlib
from typing import Callable, List, Optional, Union

from . import _client, _orphan, _reports, _statecalls, _statefiles
from ._client import Client
from ._sandbox import Sandbox


def checkpoint(sandbox: Sandbox, recipient: str = "") -> _reports.Checkpoint:
    """As :meth:`Sandbox.checkpoint`."""
    return sandbox.checkpoint(recipient)


def checkpoints(
    name: str = "", *, tenant: str = "", client: Optional[Client] = None
) -> List[_reports.Checkpoint]:
    """The checkpoints that there are, of one cell or all."""
    return _client.chosen(client).do(_statecalls.list_checkpoints(tenant, name))


def delete_checkpoint(
    checkpoint: Union[str, _reports.Checkpoint], *, client: Optional[Client] = None
) -> None:
    """Removes a checkpoint, or that of an id, for good. :class:`NotFound`: there is none."""
    _client.chosen(client).do(_statecalls.delete_checkpoint(checkpoint))


def export_checkpoint(
    checkpoint: Union[str, _reports.Checkpoint],
    file: _statefiles.File,
    recipient: str = "",
    *,
    client: Optional[Client] = None,
) -> int:
    """Writes the file of a checkpoint, or of that of an id, and returns its size in bytes.

    :param file: a path, where the file is whole or as it was before; or a file that is open for
        bytes: what was written to that is a checkpoint only if nothing is raised.
    :param recipient: the key that it is sealed to, as :func:`checkpoint_key` returns it: only who
        has that one's identity can open it. Without, it is as the node has it, for one with the
        same keys.
    """
    call = _statecalls.export_checkpoint(checkpoint, recipient)
    size = 0
    with _client.chosen(client).stream(call) as stream, _statefiles.writing(file) as out:
        while True:
            piece = stream.next(_statecalls.PATIENCE)
            if piece is None:
                return size
            size += _statefiles.write(out, piece)


def import_checkpoint(
    file: _statefiles.File, identity: Optional[_statefiles.File] = None, *, client: Optional[Client] = None
) -> _reports.Checkpoint:
    """Has the node keep the checkpoint of a file, which is a path or open for bytes.

    :param identity: what it was sealed to: the file that :func:`checkpoint_key` made. Only admins
        may do so, as anybody can seal what he likes to a key. Without, the node's own keys open it.
    :raises Invalid: another key opens it. :class:`Corrupt`: it is damaged, or not whole.
    """
    call = _statecalls.import_checkpoint(_statefiles.secret(identity))
    with _statefiles.reading(file) as source:
        return _client.chosen(client).upload(call, _statefiles.pieces(source))


def checkpoint_key(path: _statefiles.Path) -> str:
    """Makes an identity in a file that only its owner can read, and returns its key, to which
    checkpoints are exported. If the file is there already, its key is returned. The
    ``pyisolate-node`` of this machine does it, as ``cell checkpoints key``."""
    return _statefiles.key(path)


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
    client = _client.chosen(client)
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
