"""The errors of a node and of the cells that it runs.

Every error of this package is a :class:`PyIsolateError`. There is one class for each word of
the vocabulary in ``docs/errors.md`` and ``docs/serving.md``; ``kind`` is that word. A word
that this release does not know arrives as a plain :class:`PyIsolateError`.

Some classes are also one of Python's own, so that ordinary code catches them: a
:class:`Timeout` is a :class:`TimeoutError`, a :class:`PolicyDenied` a :class:`PermissionError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Dict, Optional, Tuple, Type

__all__ = [
    "Busy",
    "CPUExceeded",
    "Cancelled",
    "CellGone",
    "ChildWorkExceeded",
    "Compacted",
    "Conflict",
    "Corrupt",
    "Denial",
    "GuestError",
    "Internal",
    "Invalid",
    "Limited",
    "MemoryExceeded",
    "NetworkExceeded",
    "NodeMissing",
    "NotCheckpointable",
    "NotFound",
    "NotLeader",
    "NotShippable",
    "OutputExceeded",
    "OwnershipError",
    "PolicyAuth",
    "PolicyDenied",
    "Problem",
    "ProtocolError",
    "PyIsolateError",
    "Refused",
    "SourceUnavailable",
    "Timeout",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "UnknownOutcome",
]


@dataclass(frozen=True)
class Denial:
    """The evidence of one refused action of a cell."""

    cell: str = ""
    capability: str = ""  #: as "import", "fs" or "net"
    action: str = ""  #: what was tried, as "open /etc/passwd"
    rule: str = ""
    kernel: str = ""
    broker: str = ""
    at: Optional[datetime] = None  #: when the node saw it


@dataclass(frozen=True)
class Problem:
    """One fault of a policy document. Lines and columns count from 1."""

    file: str = ""
    line: int = 0
    column: int = 0
    message: str = ""
    hint: str = ""
    source: str = ""
    text: str = ""  #: all of it as compilers print it


def plain(text: str, kept: str = "") -> str:
    """A text without what a terminal obeys or an eye is deceived by: control characters and
    invisible ones are written as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text)


class PyIsolateError(Exception):
    """The base of all errors of this package.

    ``message`` says what was tried on what, and why it failed, which can be a guest's words;
    ``hint``, where there is one, what to do. As text, both are without control characters. ``type`` and ``traceback`` are the guest's, when code in a cell raised;
    ``denial`` is the evidence when a policy refused; ``problems`` are the faults of a policy
    document; ``stage`` is the stage of a pipeline in which it happened.
    """

    kind: str = "Unknown"
    message: str = ""
    hint: str = ""
    type: str = ""
    traceback: str = ""
    denial: Optional[Denial] = None
    problems: Tuple[Problem, ...] = ()
    stage: str = ""
    #: whether the same call may go well later without a change
    transient: ClassVar[bool] = False

    def __init__(
        self,
        message: str = "",
        *,
        kind: str = "",
        hint: str = "",
        type: str = "",
        traceback: str = "",
        denial: Optional[Denial] = None,
        problems: Tuple[Problem, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind or self.__class__.kind
        self.hint = hint
        self.type = type
        self.traceback = traceback
        self.denial = denial
        self.problems = problems

    def __str__(self) -> str:
        # Words of a guest end up in terminals and logs.
        text = plain(self.message)
        if self.stage:
            text = f"stage {self.stage!r}: {text}"
        if self.problems:
            text += "\n" + plain("\n".join(p.text or p.message for p in self.problems).rstrip(), "\n\t")
        if self.hint:
            text += f" ({plain(self.hint)})"
        return text

    def __reduce__(self) -> Tuple[Any, ...]:
        # Exceptions cross process pools by pickle, which knows positional arguments alone.
        return self.__class__, (self.message,), dict(self.__dict__)


class PolicyDenied(PyIsolateError, PermissionError):
    """The policy does not allow what was tried; ``denial`` says what it was."""

    kind = "PolicyDenied"


class PolicyAuth(PyIsolateError, PermissionError):
    """The caller's role or tenant does not permit it."""

    kind = "PolicyAuth"


class Timeout(PyIsolateError, TimeoutError):
    """The deadline or the wall-time limit passed, and what was under way was interrupted."""

    kind = "Timeout"


class MemoryExceeded(PyIsolateError, MemoryError):
    """The guest asked for more memory than its limit. The cell goes on."""

    kind = "MemoryExceeded"


class CPUExceeded(PyIsolateError):
    """The processor time of the cell's life, or of the window, is used up."""

    kind = "CPUExceeded"


class OutputExceeded(PyIsolateError):
    """The guest posted, logged and returned more bytes than its limit."""

    kind = "OutputExceeded"


class ChildWorkExceeded(PyIsolateError):
    """More threads than the limit."""

    kind = "ChildWorkExceeded"


class NetworkExceeded(PyIsolateError):
    """More bytes or connections than the limit."""

    kind = "NetworkExceeded"


class GuestError(PyIsolateError):
    """The guest raised an exception of its own: ``type`` is its class, ``traceback`` its text."""

    kind = "GuestError"


class OwnershipError(GuestError):
    """In the restricted dialect: a value was used that was moved, or got a second owner."""


class CellGone(PyIsolateError):
    """The cell has ended; the message says why."""

    kind = "CellGone"


class Busy(PyIsolateError):
    """A queue is full, or no host takes a cell just now. Try again later."""

    kind = "Busy"
    transient = True


class UnknownOutcome(PyIsolateError):
    """It may have been done: the answer was lost on its way."""

    kind = "UnknownOutcome"


class NotCheckpointable(PyIsolateError):
    """The guest holds what no checkpoint can carry; the message names the place. The cell goes on."""

    kind = "NotCheckpointable"


class Invalid(PyIsolateError, ValueError):
    """The request itself is malformed; of a policy document ``problems`` has the faults."""

    kind = "Invalid"


class Cancelled(PyIsolateError):
    """The caller withdrew, and the guest was interrupted."""

    kind = "Cancelled"


class NotFound(PyIsolateError, LookupError):
    """There is no such cell, policy, version, token or source."""

    kind = "NotFound"


class Conflict(PyIsolateError):
    """The newest version of a policy is not the expected one: read it and decide again."""

    kind = "Conflict"


class Unauthenticated(PyIsolateError):
    """There is no token, or it is unknown, expired or revoked."""

    kind = "Unauthenticated"


class Limited(PyIsolateError):
    """Too many calls at once, or a bound of what is stored."""

    kind = "Limited"
    transient = True


class Compacted(PyIsolateError):
    """Changes that were not seen are no longer kept: list, and watch from there."""

    kind = "Compacted"


class NotLeader(PyIsolateError):
    """Another node has to answer this."""

    kind = "NotLeader"
    transient = True


class Corrupt(PyIsolateError):
    """A file of the node is damaged; the message names it."""

    kind = "Corrupt"


class Refused(PyIsolateError):
    """What a source's server did is not permitted, or what it gave is not what was asked for."""

    kind = "Refused"


class SourceUnavailable(PyIsolateError):
    """A source's server did not give the policy document."""

    kind = "SourceUnavailable"
    transient = True


class Unavailable(PyIsolateError, ConnectionError):
    """The node is ending, or is not there."""

    kind = "Unavailable"
    transient = True


class NodeMissing(Unavailable):
    """No node is configured, and no binary is found to start one; the message says what to do."""

    transient = False


class Internal(PyIsolateError):
    """The node could not do its work; its log says why."""

    kind = "Internal"


class Unimplemented(PyIsolateError, NotImplementedError):
    """The node does not have this call yet."""

    kind = "Unimplemented"


class ProtocolError(PyIsolateError):
    """What came back is not what a node sends; what it did with the call is not known."""

    kind = "Protocol"


class NotShippable(PyIsolateError, TypeError):
    """A function, or something that it uses, cannot be sent to a cell; the message says what."""

    kind = "NotShippable"


_WORDS: Tuple[Type[PyIsolateError], ...] = (
    PolicyDenied, PolicyAuth, Timeout, MemoryExceeded, CPUExceeded, OutputExceeded,
    ChildWorkExceeded, NetworkExceeded, GuestError, CellGone, Busy, UnknownOutcome, NotCheckpointable,
    Invalid, Cancelled, NotFound, Conflict, Unauthenticated, Limited, Compacted,
    NotLeader, Corrupt, Refused, SourceUnavailable, Unavailable, Internal, Unimplemented,
)  # fmt: skip
_CLASSES = {c.kind: c for c in _WORDS}

# Of errors without a word of ours: by the code of the Connect protocol.
_CODES: Dict[str, Type[PyIsolateError]] = {
    "canceled": Cancelled,
    "invalid_argument": Invalid,
    "deadline_exceeded": Timeout,
    "not_found": NotFound,
    "permission_denied": PolicyAuth,
    "resource_exhausted": Limited,
    "aborted": Conflict,
    "out_of_range": Compacted,
    "unimplemented": Unimplemented,
    "internal": Internal,
    "unavailable": Unavailable,
    "data_loss": Corrupt,
    "unauthenticated": Unauthenticated,
}


def make(kind: str, code: str, message: str, **more: Any) -> PyIsolateError:
    """The error of a word, or without one of a code."""
    found: Type[PyIsolateError] = _CLASSES.get(kind, _CODES.get(code, PyIsolateError))
    if found is GuestError and more.get("type") == "OwnershipError":
        found = OwnershipError
    return found(message, kind=kind, **more)
