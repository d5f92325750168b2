"""What guest code finds under the name pyisolate_guest, and the few parts of the
cell loop that are easier said in Python. Compiled once per process; `_c` holds
the C functions."""

import builtins as _builtins
import sys as _sys


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


class RequestFailed(CellError):
    """A request was allowed and failed; kind says how: "NotFound", "Conflict" …"""


class OwnershipError(CellError):
    """A name of the restricted dialect was used after it was moved, or shared without move."""


class _Interrupt(BaseException):
    """Raised in a guest that must stop; raised again until it does."""


# Numbers of package cell's Kind.
_kinds = {
    1: PolicyDenied, 2: PolicyAuth, 3: Timeout, 4: MemoryExceeded, 5: CPUExceeded,
    6: OutputExceeded, 7: ChildWorkExceeded, 8: NetworkExceeded, 10: CellGone, 11: Busy,
    12: UnknownOutcome, 13: Invalid,
}
_kind_of = {cls: kind for kind, cls in _kinds.items()}
_kind_of[ImportDenied] = 1

post = _c.post


def recv(timeout=None):
    """Next inbox item, a JSON value or bytes. Raises Timeout after `timeout` seconds."""
    return _c.recv(-1.0 if timeout is None else float(timeout))


def log(level, message, **fields):
    """Sends one structured log record. Fields are JSON values."""
    _c.log(str(level), str(message), fields or None)


def metric(name, value, tags=None, **more):
    """Sends one numeric sample. Tags are a dict of str to str, or keyword arguments."""
    tags = {k: str(v) for k, v in {**(tags or {}), **more}.items()}
    _c.metric(str(name), float(value), tags or None)


def request(capability, action, payload=None):
    """Asks the broker for an effect and returns its result; raises PolicyDenied
    unless the policy grants the capability."""
    return _c.request(str(capability), str(action), payload)


def __getattr__(name):
    """Runs effects.py before the first name that is not here."""
    names = globals()
    if not name.startswith("_") and "_Files" not in names:
        _c.load_effects()
    if name in names:
        return names[name]
    raise AttributeError(f"module 'pyisolate_guest' has no attribute {name!r}")


class _Writer:
    """sys.stdout and sys.stderr: whole lines become log records."""

    encoding = "utf-8"
    errors = "backslashreplace"
    newlines = None
    line_buffering = True
    closed = False

    def __init__(self, name):
        self.name = f"<{name}>"
        self._level = name
        self._line = ""

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        whole, newline, rest = (self._line + text).rpartition("\n")
        if newline:
            for line in whole.split("\n"):
                _c.log(self._level, line, None)
        if len(rest) > 8192:
            _c.log(self._level, rest, None)
            rest = ""
        self._line = rest
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        if self._line:
            line, self._line = self._line, ""
            _c.log(self._level, line, None)

    def isatty(self):
        return False

    def writable(self):
        return True

    def readable(self):
        return False

    seekable = readable

    def fileno(self):
        raise OSError("a cell's streams have no file descriptor")

    @property
    def buffer(self):
        return _Bytes(self)

    def close(self):
        self.flush()


class _Bytes:
    """The binary side of a _Writer."""

    def __init__(self, text):
        self._text = text

    def write(self, data):
        data = bytes(data)
        self._text.write(data.decode("utf-8", "backslashreplace"))
        return len(data)

    def flush(self):
        self._text.flush()


def _stdin():
    """sys.stdin that reads the inbox: bytes items are the stream, None its end."""
    import io

    class Inbox(io.RawIOBase):
        _rest = b""
        _ended = False

        def readable(self):
            return True

        def readinto(self, into):
            while not self._rest and not self._ended:
                item = recv()
                if item is None:
                    self._ended = True
                elif isinstance(item, str):
                    self._rest = item.encode()
                else:
                    self._rest = bytes(item)
            n = min(len(into), len(self._rest))
            into[:n] = self._rest[:n]
            self._rest = self._rest[n:]
            return n

    return io.TextIOWrapper(io.BufferedReader(Inbox(), 65536), encoding="utf-8", errors="replace")


def _prepare(file, argv, stdin):
    """Sets up what a program expects to find before its first line."""
    _sys.argv = [file, *argv]
    if stdin:
        _sys.stdin = _stdin()


def _finish():
    _sys.stdout.flush()
    _sys.stderr.flush()


def _resolve(target):
    """The callable a dotted call target names: in __main__ first, then a module."""
    import __main__

    head, *rest = target.split(".")
    if not all(part.isidentifier() for part in (head, *rest)):
        raise Invalid(f"call target {target!r} is not a dotted name")
    if head in __main__.__dict__:
        found = __main__.__dict__[head]
        for part in rest:
            found = getattr(found, part)
        return found
    if not rest:
        builtin = getattr(_builtins, head, None)
        if builtin is None:
            raise NameError(f"name {target!r} is not defined in __main__")
        return builtin
    found = _c.guest_import(".".join((head, *rest[:-1])))
    for part in rest:
        found = getattr(found, part)
    return found


def _install():
    import __main__

    for function in (post, recv, log, metric, request):
        __main__.__dict__[function.__name__] = function
    __main__.__dict__["__builtins__"] = _builtins
    __main__.__dict__["__name__"] = "__main__"
    _sys.stdout = _sys.__stdout__ = _Writer("stdout")
    _sys.stderr = _sys.__stderr__ = _Writer("stderr")
    _sys.argv = [""]


def _reseed():
    """After a fork: what must differ between cells of one zygote."""
    random = _sys.modules.get("random")
    if random is not None:
        random._inst.seed()
