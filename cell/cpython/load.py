# Puts a state that save.py wrote into __main__. Runs in the support module's namespace, after
# errors.py, in a cell in which nothing has run yet; save.py needs its functions, too.

_STATE = b"pyisolate state 1 "


def _picklers():
    """The types of a _pickle that finds nothing of the library's if nobody has imported that: it is for
    protocols before this one, and for what has reducers in copyreg, which _Saver asks for itself."""
    lent = {
        "copyreg": {
            name: {} for name in ("dispatch_table", "_extension_registry", "_inverted_registry", "_extension_cache")
        },
        "functools": {"partial": None},
        "codecs": {"encode": repr},
        "_compat_pickle": {f"{way}{what}_MAPPING": {} for way in ("", "REVERSE_") for what in ("NAME", "IMPORT")},
    }
    for name, has in lent.items():
        lent[name] = type(_sys)(name)
        lent[name].__dict__.update(has)
    found = _c.pickle(lent)
    if found is not None:
        return found.Pickler, found.Unpickler
    from _pickle import Pickler, Unpickler

    return Pickler, Unpickler


_Pickler, _Unpickler = _picklers()


def _kinds_of_function():
    anything = None

    def function():
        return anything

    return type(function), type(function.__closure__[0])


_Function, _Cell = _kinds_of_function()
_Method = type(_Later("").flush)


def _import(name):
    # By the guest's own rights: whoever hands the name over, this text does not say it.
    return __import__(name, None, None, ("__doc__",))


def _module(name, *below):
    # What the guest has imported it may use whole: so its policy says of this cell, too. Others than that are
    # objects whose library the interpreter has for itself.
    module = _c.guest_import(name)
    for submodule in below:  # of a package, as far as this cell may have them
        if _c.grants(submodule):
            _c.guest_import(submodule)
    return module


def _named(module, name):
    """What a module has under a dotted name."""
    found = _import(module)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise Invalid(f"the state needs {module}.{name}, which this Python does not have") from None
    return found


def _library_code(module, name, line):
    """The code of a function inside a function of the library, as `f.<locals>.g`."""
    outer, *inner = name.split(".<locals>.")
    found = _named(module, outer)
    while not hasattr(found, "__code__"):
        found = getattr(found, "__wrapped__", None) or getattr(found, "__func__", None) or found.fget
    code = found.__code__
    for part in inner and ".".join(inner).split("."):
        nested = [c for c in code.co_consts if type(c) is type(code) and c.co_name == part]
        code = next((c for c in nested if c.co_firstlineno == line), nested[0] if nested else None)
        if code is None:
            raise Invalid(f"the state needs the code of {module}.{name}, which this Python does not have")
    return code


def _code(number):
    return _c.state_code(number)


def _cell():
    return _Cell()


# States are tuples: pickle takes None for no state at all.
def _fill_cell(cell, state):
    (cell.cell_contents,) = state


def _function(code, names, name, closure):
    """names: its globals, or the name of the module whose they are."""
    if type(names) is str:
        names = _import(names).__dict__
    code = _c.state_code(code) if type(code) is int else _library_code(*code)
    return _Function(code, names, name, None, closure)


def _fill_function(function, state):
    attributes, own = state
    for name, value in attributes.items():
        setattr(function, name, value)
    function.__dict__.update(own)


# What would run while objects are not whole: hooks of classes, and of instances.
_late_classes, _late_objects = [], []


_namespaces = {}  # cells that hold a class's own dict, by the class's id


def _namespace(kind):
    return _namespaces[id(kind)]


def _class(meta, name, bases, names):
    """A class without what its body defined. Its bases are not told, and a metaclass does
    not make it: that they have done, and what they did is state."""
    cell = names["__classdictcell__"] = _Cell()
    made = type.__new__(meta, name, bases, names)
    _namespaces[id(made)] = cell
    abc = _sys.modules.get("abc")
    if abc is not None and issubclass(meta, abc.ABCMeta):
        from _abc import _abc_init

        _abc_init(made)
    return made


def _fill_class(made, state):
    attributes, registered = state
    if type(attributes) is dict:  # of an older state: newer ones have set them by now
        _fill_part(made, attributes)
    if registered:
        from _abc import _abc_register

        for other in registered:
            _abc_register(made, other)


def _fill_part(made, attributes):
    for name, value in attributes.items():
        if name == "__init_subclass__":
            _late_classes.append((made, name, value))
        else:
            type.__setattr__(made, name, value)


def _new(kind, base, value, names):
    """An object as its builtin base makes it. names are the attributes that its hash may
    need before it is whole."""
    made = base.__new__(kind) if value is None else base.__new__(kind, value)
    if names:
        _set_all(made, names)
    return made


def _set_all(made, names):
    """names: by None, slots that the object's class has something else by the names of, with their own classes."""
    for name, value in names.items():
        if name is not None:
            object.__setattr__(made, name, value)
            continue
        for kind, slot, held in value:
            type.__dict__["__dict__"].__get__(kind)[slot].__set__(made, held)


def _fill(made, state):
    """state: attributes, slots, items, and for __setstate__ a tuple of what it is given."""
    names, slots, items, own = state
    if own is not None:
        object.__getattribute__(made, "__setstate__")(own[0])
    if names:
        object.__getattribute__(made, "__dict__").update(names)
    if slots:
        _set_all(made, slots)
    if items is None:
        return
    if isinstance(made, dict):
        dict.update(made, items)
    elif isinstance(made, list):
        list.extend(made, items)
    else:
        set.update(made, items)


def _remade(kind, base, arguments):
    """An object as the class of the library makes it that the guest's kind is derived from. Without
    arguments it has no more to do: what such an object has comes as state."""
    made = base.__new__(kind) if base.__new__ is object.__new__ else base.__new__(kind, *arguments)
    if arguments and base.__init__ is not object.__init__:
        base.__init__(made, *arguments)
    return made


def _fill_remade(made, state):
    base, items, *state = state
    if items is not None and issubclass(base, dict):
        for key, value in items.items():
            base.__setitem__(made, key, value)
    elif items is not None:
        base.extend(made, items)
    _fill(made, state)


def _hooked(made, state):
    _late_objects.append((made, *state))


def _raised(kind, base, arguments):
    made = base.__new__(kind, *arguments)
    _set_all(made, {"args": arguments})
    return made


def _fill_raised(made, state):
    """state: attributes, those that every exception has, and what its builtin base has of its own."""
    names, cause, context, suppress, *rest = state
    _set_all(made, {"__cause__": cause, "__context__": context, "__suppress_context__": suppress})
    if names:
        object.__getattribute__(made, "__dict__").update(names)
    if rest:
        base, members, *slots = rest
        for name, value in members.items():
            getattr(base, name).__set__(made, value)
        for found in slots:
            _set_all(made, found)


def _with_names(made, arguments, names):
    return made(*arguments, **names)


def _cached(function, size, typed):
    import functools

    return functools.lru_cache(size, typed)(function)


def _anchors():
    """What both sides have: the state refers to it by its place. The order is the format, and nothing can be added:
    what came later is carried by its name."""
    import __main__

    return [
        __main__, __main__.__dict__, _builtins, _builtins.__dict__, globals(), _sys.modules,
        _module, _named, _cell, _fill_cell, _function, _fill_function, _namespace, _class, _fill_class,
        _new, _fill, _hooked, _raised, _fill_raised, _with_names, _cached, _code, _Method, getattr, property, staticmethod, classmethod,
    ]  # fmt: skip


class _Input:
    """The stream, as an unpickler reads it."""

    def __init__(self):
        self.rest = b""
        self.at = 0

    def more(self):
        self.rest, self.at = _c.read_state(), 0
        if self.rest is None:
            self.rest = b""
        return self.rest

    def read(self, n):
        out = self.rest[self.at : self.at + n]
        self.at += len(out)
        if len(out) == n:
            return out
        parts = [out]
        missing = n - len(out)
        while missing and self.more():
            out = self.rest[:missing]
            self.at = len(out)
            missing -= len(out)
            parts.append(out)
        return b"".join(parts)

    def readinto(self, into):
        done = 0
        while done < len(into) and (self.at < len(self.rest) or self.more()):
            n = min(len(into) - done, len(self.rest) - self.at)
            into[done : done + n] = self.rest[self.at : self.at + n]
            self.at += n
            done += n
        return done

    def readline(self):
        out = b""
        while not out.endswith(b"\n"):
            byte = self.read(1)
            if not byte or len(out) > 4096:
                break
            out += byte
        return out


class _Loader(_Unpickler):
    def __init__(self, stream):
        super().__init__(stream)
        # The anchors become the first objects of its memo. CPython loses what is assigned to
        # that, so it reads them as a pickle of globals.
        self.anchors = _anchors()
        stream.rest = b"".join(b"c@\n%d\n\x94" % i for i in range(len(self.anchors))) + b"N." + stream.rest[stream.at :]
        stream.at = 0
        self.load()
        self.anchors = ()

    def find_class(self, module, name):
        return self.anchors[int(name)] if self.anchors else _named(module, name)


def _abi():
    return _sys.implementation.cache_tag.encode()


def _load():
    stream = _Input()
    head = stream.readline()
    if head != _STATE + _abi() + b"\n":
        needs = head[len(_STATE) :].strip() if head.startswith(_STATE) else b""
        if needs:
            raise Invalid(f"the state needs {needs[:40].decode(errors='replace')}, this cell runs {_abi().decode()}")
        raise Invalid("this is not the state of a cell, or one of another version")
    loader = _Loader(stream)
    try:
        _load_names(loader)
        if stream.at < len(stream.rest) or stream.more():
            raise Invalid("the state goes on behind its end")
        _c.state_whole()
        _wake()
    finally:
        _late_classes.clear()
        _late_objects.clear()
        _namespaces.clear()


def _wake():
    """All is there: now hooks may run, the module's last."""
    import __main__

    for made, name, value in _late_classes:
        type.__setattr__(made, name, value)
    for made, state in _late_objects:
        made.__restore__(state)
    restore = __main__.__dict__.get("__restore__")
    if restore is not None:
        restore()


def _load_names(loader):
    import __main__

    names = __main__.__dict__
    kept = {name: names[name] for name in _KEPT if name in names}
    order, argv, moved = loader.load()
    names.clear()
    names.update(kept)
    for _ in order:
        name, value = loader.load()
        names[name] = value
    loader.load()  # which told how many objects there are
    found = {name: names[name] for name in order}
    names.clear()
    names.update(kept)
    names.update(found)
    _sys.argv = argv
    if moved:
        _c.load("dialect")
        _moved.update(moved)


# Names of __main__ that are not the guest's.
_KEPT = ("__name__", "__builtins__", "__loader__", "__spec__", "__package__")
