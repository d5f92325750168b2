# The snapshot as one operation. Runs in the support module's namespace, after save.py.


class _Output:
    def write(self, data):
        self.last = data
        _c.write_state(data)


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
    return names


def _snapshot():
    """Writes the state. Returns its ABI and how many objects it has."""
    names = _carried()
    out = _Output()
    saver = _Saver(out)
    _c.write_state(_STATE + _abi() + b"\n")
    name = value = None
    try:
        name, value = "__main__", (list(names), _sys.argv, globals().get("_moved"))
        saver.dump(value)
        for name, value in sorted(names.items(), key=lambda item: _definition(item[1])):
            saver.last = value
            saver.dump((name, value))
        return {"python": _abi().decode(), "objects": _count(saver, out)}
    except MemoryError:
        raise
    except Exception as error:
        raise _refused(saver, name, value, error) from None
    finally:
        saver.forget()


def _count(saver, out):
    """How many objects are in the memo: a pickler tells it as the number of the next one."""
    again = []
    saver.dump((again, again))
    if out.last[-8:-7] == b"j":
        return int.from_bytes(out.last[-7:-3], "little")
    return out.last[-4]
