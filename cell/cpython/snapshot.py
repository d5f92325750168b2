# The snapshot as one operation. Runs in the support module's namespace, after save.py.


class _Output:
    """The stream, but for what was written last."""

    last = b""

    def write(self, data):
        self.flush()
        self.last = data

    def flush(self):
        _c.write_state(self.last)

    def go_on(self):
        """What was pickled is remembered and no more: its pickle goes on with the next one."""
        self.last = self.last[:-1] + b"0"  # POP for STOP


def _definition(value):
    """Names that others need while they are made come first: constants, modules, functions
    and classes."""
    if type(value) in _SIMPLE:
        return 0
    return 1 if isinstance(value, (type(_sys), _Function, type)) else 2


def _refused(saver, name, value, error):
    """NotCheckpointable, or what else ended it."""
    if isinstance(error, RecursionError):
        return NotCheckpointable(f"globals[{name!r}]: nested too deeply")
    what = type(saver.last).__name__
    text = str(error)
    if not text.startswith("cannot pickle") and type(error).__name__ != "PicklingError":
        what += f", which raised {type(error).__name__}: {text}"
    elif "reduce" in text or "changed" in text:
        what += f": {text}"
    _c.load("instances")
    _c.load("find")
    return NotCheckpointable(f"{_where(saver, name, value)}: {what}")


def _carried():
    import __main__

    names = {k: v for k, v in __main__.__dict__.items() if k not in _KEPT}
    hook = names.get("__checkpoint__")
    if hook is not None:
        try:
            hook(names)
        except Exception as error:
            raise NotCheckpointable(f"__checkpoint__ raised {type(error).__name__}: {error}") from error
        names = dict(names)  # the hook's own may be held elsewhere
    return names


def _snapshot():
    """Writes the state. Returns its ABI and how many objects it has."""
    names = _carried()
    out = _Output()
    saver = _Saver(out)
    _c.write_state(_STATE + _abi() + b"\n")
    name, first = "__main__", (list(names), _sys.argv, globals().get("_moved"))
    try:
        saver.dump(first)
        plain = 0
        for name in sorted(names, key=lambda name: _definition(names[name])):
            plain += _write(saver, out, names, name)
        count = _count(saver, out)
        out.flush()
        return {"python": _abi().decode(), "objects": plain + count}
    except MemoryError:
        raise
    except Exception as error:
        raise _refused(saver, name, names.get(name, first), error) from None
    finally:
        saver.forget()


def _write(saver, out, names, name):
    """Writes a name and its value. Returns how many of the value's objects need not be
    remembered: nothing else refers to them."""
    # Nobody may hold the value here, and what objects hand over when they are pickled may be anything.
    found = None if saver.asks else saver.plain(names, name)
    if found is None:
        saver.last = names[name]
        saver.dump((name, saver.last))
        return 0
    others, plain = found
    if others:
        saver.dump(others)
        out.go_on()
    saver.fast = True
    try:
        saver.dump((name, names[name]))
    finally:
        saver.fast = False
    return plain


def _count(saver, out):
    """How many objects are in the memo: a pickler tells it as the number of the next one."""
    again = []
    saver.dump((again, again))
    if out.last[-8:-7] == b"j":
        return int.from_bytes(out.last[-7:-3], "little")
    return out.last[-4]
