"""What guest code finds under the name pyisolate_guest, and the few parts of the
cell loop that are easier said in Python. Compiled once per process; `_c` holds
the C functions."""

import builtins as _builtins
import sys as _sys


class _Interrupt(BaseException):
    """Raised in a guest that must stop; raised again until it does."""


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


def trace():
    """The traceparent (W3C Trace Context) of the call that is being done, for what the guest
    says to others; None where nobody traces it."""
    return _c.trace()


def __getattr__(name):
    """Runs errors.py, then effects.py, before the first name that is not here."""
    names = globals()
    if not name.startswith("_"):
        for part in ("errors", "effects"):
            _c.load(part)
            if name in names:
                return names[name]
    raise AttributeError(f"module 'pyisolate_guest' has no attribute {name!r}")


_made = {}  # streams by name


class _Later:
    """A standard stream. What does its work is made when it is first used."""

    closed = False

    def __init__(self, name):
        self.name = name

    def flush(self):
        if self.name in _made:
            _made[self.name].flush()

    def __getattr__(self, name):
        _c.load("streams")
        found = getattr(_stream(self.name), name)
        if callable(found):
            self.__dict__[name] = found
        return found

    def __iter__(self):
        _c.load("streams")
        return iter(_stream(self.name))

    def __next__(self):
        _c.load("streams")
        return next(_stream(self.name))


def _finish():
    for stream in (_sys.stdout, _sys.stderr):
        if stream is not None:
            stream.flush()


def _resolve(target):
    """The callable a dotted call target names: in __main__ first, then a module."""
    import __main__

    head, *rest = target.split(".")
    if not all(part.isidentifier() for part in (head, *rest)):
        _c.load("errors")
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
    for name in ("stdin", "stdout", "stderr"):
        stream = _Later(f"<{name}>")
        setattr(_sys, name, stream)
        setattr(_sys, f"__{name}__", stream)
    _sys.argv = [""]


def _reseed():
    """After a fork: what must differ between cells of one zygote."""
    random = _sys.modules.get("random")
    if random is not None:
        random._inst.seed()
