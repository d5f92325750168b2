# The exceptions of pyisolate_guest: one vocabulary with package cell. Runs in the support
# module's namespace when the first of them is needed, which for most cells is never.


class CellError(Exception):
    """Base of the errors PyIsolate raises in guest code. For one that answers a request,
    kind is the broker's finer word, such as "TooLarge"; else None."""

    kind = None


class PolicyDenied(CellError):
    """The policy does not allow what was tried."""


class ImportDenied(PolicyDenied, ImportError):
    """The policy does not allow this import; also an ImportError."""


class PolicyAuth(CellError):
    """The caller may not change or use this policy."""


class Timeout(CellError):
    """A deadline passed."""


class MemoryExceeded(CellError, MemoryError):
    """More memory than the limit."""


class CPUExceeded(CellError):
    """The CPU budget is used up."""


class OutputExceeded(CellError):
    """More output than the limit."""


class ChildWorkExceeded(CellError):
    """More threads or processes than the limit."""


class NetworkExceeded(CellError):
    """More bytes or connections than the limit."""


class CellGone(CellError):
    """The other cell is gone."""


class Busy(CellError):
    """A queue is full; try again later."""


class UnknownOutcome(CellError):
    """A remote call timed out and may have run."""


class Invalid(CellError):
    """The request is malformed."""


class NotCheckpointable(CellError):
    """A checkpoint cannot carry this; the message names its place."""


class RequestFailed(CellError):
    """A request was allowed and failed; kind says how: "NotFound", "Conflict" …"""


class OwnershipError(CellError):
    """A name of the restricted dialect was used after it was moved, or shared without move."""


# Numbers of package cell's Kind.
_kinds = {
    1: PolicyDenied, 2: PolicyAuth, 3: Timeout, 4: MemoryExceeded, 5: CPUExceeded,
    6: OutputExceeded, 7: ChildWorkExceeded, 8: NetworkExceeded, 10: CellGone, 11: Busy,
    12: UnknownOutcome, 13: Invalid, 15: NotCheckpointable,
}
_kind_of = {cls: kind for kind, cls in _kinds.items()}
_kind_of[ImportDenied] = 1
