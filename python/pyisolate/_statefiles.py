"""Files of checkpoints, and the identities that open them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from typing import IO, Any, Dict, Iterator, Union

from . import _node, _statecalls, errors

Path = Union[str, "os.PathLike[str]"]
#: the path of a file, or one that is open for bytes
File = Union[Path, IO[bytes]]

_PIECE = 256 << 10
_SECRET = 64 << 10  # bytes that an identity has at most
_MAKING = 60.0  # seconds


@contextlib.contextmanager
def reading(file: File) -> Iterator[IO[bytes]]:
    """A file to read from; one that came open stays so."""
    if isinstance(file, (str, os.PathLike)):
        with open(file, "rb") as opened:
            yield opened
    else:
        yield file


@contextlib.contextmanager
def writing(file: File) -> Iterator[IO[bytes]]:
    """A file to write to. That of a path is there whole, or as it was, for its owner alone to read."""
    if not isinstance(file, (str, os.PathLike)):
        yield file
        return
    path = os.path.abspath(file)
    handle, temporary = tempfile.mkstemp(prefix=".pyisolate-", dir=os.path.dirname(path))
    try:
        with open(handle, "wb") as out:
            yield out
            out.flush()
            os.fsync(handle)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write(out: IO[bytes], piece: bytes) -> int:
    """Writes all of a piece, and tells its size."""
    left = memoryview(piece)
    while left:
        written = out.write(left)
        if not written:
            raise BlockingIOError(f"{out!r} takes no more of the checkpoint's file now")
        left = left[written:]
    return len(piece)


def pieces(file: IO[bytes]) -> Iterator[Dict[str, Any]]:
    """What is sent of a file."""
    while True:
        piece = file.read(_PIECE)
        if not isinstance(piece, bytes):
            raise errors.Invalid(f"{file!r} gave {type(piece).__name__}: open it as bytes, that never block")
        if not piece:
            return
        yield _statecalls.file_piece(piece)


def secret(file: Union[None, File]) -> str:
    """The text of an identity; none without a file."""
    if file is None:
        return ""
    with reading(file) as opened:
        data = opened.read(_SECRET)
    try:
        found = data.decode("ascii").strip()
    except (AttributeError, ValueError):
        found = ""
    if not found:
        raise errors.Invalid(f"{file} is no identity: it is a file that checkpoint_key() has made")
    return found


def key(path: Path) -> str:
    """The key of the identity in a file, which is made if it is not there."""
    try:
        binary = _node.find()
    except errors.NodeMissing as error:
        raise errors.NodeMissing(f"keys are made by {_node.BINARY}, which is not here", hint=_node.GET_IT) from error
    try:
        made = subprocess.run(
            [binary, "cell", "checkpoints", "key", "--", os.path.abspath(path)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_MAKING,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise errors.Timeout(f"{binary} made no key in {_MAKING:g} s") from None
    except OSError as error:
        raise errors.NodeMissing(f"{binary} could not be started: {error}") from error
    if made.returncode:
        said = made.stderr.strip()
        raise errors.Invalid(said or f"{binary} ended with status {made.returncode}, and made no key")
    return made.stdout.strip()
