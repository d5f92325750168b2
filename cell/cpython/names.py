# Where the library has an object, so that a state carries it by name. Runs in the support
# module's namespace, after load.py.

# Modules whose names library code shows, and guests do not import.
_ALIAS = {"posix": "os", "_thread": "threading", "_sre": "re", "_datetime": "datetime"}


def _resolve_name(module, name):
    """What sys.modules has under a dotted name, or None."""
    found = _sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None) if part.isidentifier() else None
        if found is None:
            return None
    return found


def _name_in(home, obj):
    """The name that a module has an object by, one for others if it can be, or None."""
    names = [k for k, v in list(getattr(_sys.modules.get(home), "__dict__", {}).items()) if v is obj and type(k) is str]
    return min(names, key=lambda name: name.startswith("_"), default=None)


def _name_more():
    """Imports what has names for the interpreter's own types. Returns whether there is anything new."""
    before = len(_sys.modules)
    import codecs, collections.abc, copyreg, functools  # fmt: skip  # noqa: E401, F401

    return len(_sys.modules) > before


class _Names:
    """Where the library has an object, so that it is carried by name."""

    def __init__(self):
        self.shared = {}  # module: {id: name} of its objects that are no classes or functions
        self.all = None
        self.more = False  # is all imported that names the interpreter's own types?

    def of(self, obj):
        """(module, dotted name) of a class or function, or None: it is the guest's."""
        module, name = getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)
        if module == "__main__":
            return None
        told = getattr(obj, "__self__", None)
        if module is None and type(told) is str:  # one that was replaced says what it replaces
            module, _, name = told.rpartition(".")
        if type(module) is str and type(name) is str:
            homes = [home for home in (_ALIAS.get(module), module.removeprefix("_")) if home and home != module]
            for home in homes:
                if _resolve_name(home, name) is obj:
                    return home, name
            for home in homes:  # where guests have it by another name, as threading.Lock
                found = _name_in(home, obj)
                if found:
                    return home, found
            if _resolve_name(module, name) is obj:
                return module, name
        if isinstance(obj, _Function):
            return None
        found = self.anywhere(obj)
        if found is None and not self.more:
            self.more = True
            if _name_more():
                self.all = None
                return self.of(obj)
        return found

    def anywhere(self, obj):
        if self.all is None:
            self.all = {}
            for home in sorted(_sys.modules, key=lambda home: (home.startswith("_"), home.count("."))):
                if home != "__main__":
                    for name, value in list(getattr(_sys.modules[home], "__dict__", {}).items()):
                        if callable(value) and type(name) is str and (home != "pyisolate_guest" or name[0] != "_"):
                            self.all.setdefault(id(value), (home, name))
        return self.all.get(id(obj))

    def shares(self, obj):
        """(module, name) if a module of the library has this very object, or None."""
        for module in (type(obj).__module__, "sys"):
            if type(module) is str and module not in self.shared:
                names = getattr(_sys.modules.get(module), "__dict__", {})
                self.shared[module] = {id(v): k for k, v in list(names.items()) if module in ("sys", type(v).__module__)}
            if id(obj) in self.shared.get(module, ()):
                return module, self.shared[module][id(obj)]
        return None

    def module(self, obj):
        """(module, name) of a module that the guest has by way of another one, as os.path, or None."""
        for home in sorted(name for name in _sys.modules if type(name) is str):
            if home != "__main__" and _c.grants(home):
                for name, value in list(getattr(_sys.modules[home], "__dict__", {}).items()):
                    if value is obj and type(name) is str:
                        return home, name
        return None

    def submodules(self, obj):
        """What is in a package because somebody has imported it."""
        if "__path__" not in obj.__dict__:
            return []
        package = obj.__name__ + "."
        below = sorted(name for name in _sys.modules if type(name) is str and name.startswith(package))
        return [name for name in below if _resolve_name(obj.__name__, name.removeprefix(package)) is _sys.modules[name]]
