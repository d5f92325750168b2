# Takes the state of __main__ out: a pickle whose reducers carry by value what pickle carries
# by name. Runs in the support module's namespace, after load.py and names.py; instances.py goes on, when
# there is any object that pickle does not know by itself.

_HEAP = 1 << 9  # a flag of types: made by a class statement, or as if
_PLAIN = (int, float, complex, str, bytes, tuple, frozenset)  # made whole by __new__
_OPEN = (list, dict, set)  # filled afterwards
_ASKED = frozenset("__reduce__ __reduce_ex__ __getstate__ __getnewargs__ __getnewargs_ex__ __checkpoint__".split())
_SIMPLE_CLASSES = 64  # so many are looked for
_LOOKS = 4  # at a value: what is in instances is seen when their class is known to be simple
_SIMPLE = (int, float, complex, str, bytes, bool, type(None))


class _Part:
    """Attributes of a class, which a state sets where it has them: what comes behind may use them."""

    __slots__ = ("kind", "names")

    def __init__(self, kind, names):
        self.kind, self.names = kind, names


class _Operand:
    def __ror__(self, other):
        self.met = other
        return self


class _Reducers:
    """What copyreg has, which nobody has imported so far."""

    def __getitem__(self, kind):
        import copyreg

        return copyreg.dispatch_table[kind]


class _Saver(_Pickler):
    """Writes objects. `last` is what it was asked about last: after a failure, the culprit."""

    def __init__(self, out):
        super().__init__(out, 5)
        self.reducer_override = _c.reducer(self)
        copyreg = _sys.modules.get("copyreg")
        self.dispatch_table = copyreg.dispatch_table if copyreg else _Reducers()
        self.memo = {id(anchor): (i, anchor) for i, anchor in enumerate(_anchors())}
        self.names = _Names()
        self.codes = {}  # by id: a number, or where the library has it
        self.held = []  # what must live as long as its id is known
        self.hooked = {}  # what hooks returned, by id
        self.classes = []  # those carried by value
        self.namespaces = {}  # cells that hold a class's own dict, by id: (cell, class)
        self.simple = ()  # (_new_object, (class,)) of those whose instances are their __dict__ and nothing else
        self.judged = {}  # by id, those that were looked at
        self.last = None
        # Has a class been met that says how its objects are pickled? A guest can say it of any to copyreg.
        reducers = list(copyreg.dispatch_table.values()) if copyreg else []
        self.asks = not all(type(f) is _Function and self.names.of(f) for f in reducers)
        enum = _sys.modules.get("enum")
        self.Enum = enum.Enum if enum else ()
        self.kinds = {
            _Function: self.function,
            _Cell: self.cell,
            _Method: self.method,
            type(_sys): self.module,
            type(len): self.builtin,
            property: self.property,
            staticmethod: self.wrapped,
            classmethod: self.wrapped,
            type(type.__dict__): self.proxy,
            type(_code.__code__): self.code,
            super: self.refuse,
            _Part: self.part,
        }
        weakref = _sys.modules.get("weakref")
        if weakref:
            self.kinds[weakref.ref] = self.weak
            self.kinds[weakref.ProxyType] = self.kinds[weakref.CallableProxyType] = self.weak_proxy
            for kind in (weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet):
                self.kinds[kind] = self.weak_container

    def forget(self):
        """Lets go of all that was written: it is held in cycles, and would stay until somebody collects those."""
        self.clear_memo()
        self.__dict__.clear()

    def reduce(self, obj):
        self.last = obj
        kind = type(obj)
        reduce = self.reducer_of(kind)
        if type(reduce) is tuple:
            names = obj.__dict__
            if _holders(names) == _ALONE and type(names) is dict:
                return _new_object, reduce, names
            return _reduce_instance(obj, object)
        return NotImplemented if reduce is None else reduce(obj)

    def reducer_of(self, kind):
        reduce = self.kinds.get(kind, self)
        if reduce is self:
            reduce = self.kinds[kind] = self.choose(kind)
        return reduce

    def plain(self, names, name):
        """(what of a value has to be remembered, how many objects need not be), or None: all is to be. Nobody but
        names may hold the value."""
        for _ in range(_LOOKS):
            others = None  # or those of the last look have one more holder
            kinds, others, plain = _c.plain(names, name, self.simple)
            if not self.judge(kinds):
                break
        return None if others is None else (others, plain)

    def judge(self, kinds):
        """Adds those to the simple classes that are. Returns whether there were any."""
        before = len(self.simple)
        for kind in kinds:
            if id(kind) in self.judged or len(self.simple) == _SIMPLE_CLASSES:
                continue
            self.judged[id(kind)] = kind
            try:
                if type(self.reducer_of(kind)) is tuple and _is_what_it_says(kind):
                    self.simple += ((_new_object, (kind,)),)
            except Exception:  # which its first instance will raise, too
                pass
        return len(self.simple) > before

    def choose(self, kind):
        """How objects of a kind are reduced; None: as pickle does it; (kind,): as it does that
        for objects which have a __dict__ and nothing else, in less time."""
        if issubclass(kind, type):
            return self.type
        if issubclass(kind, type(_sys)):
            return self.module
        _c.load("instances")
        if issubclass(kind, BaseException):
            return self.exception
        where = self.names.of(kind)
        if where:
            return _NAMED_BY_MAIN.get(where, _Saver.library).__get__(self)
        if issubclass(kind, self.Enum):
            return self.member
        return _instance_reducer(self, kind)

    # ---- by name ------------------------------------------------------------------------

    def library(self, obj):
        where = self.names.shares(obj)
        return (_named, where) if where else NotImplemented

    def module(self, obj):
        if _sys.modules.get(obj.__name__) is not obj:
            self.refuse(obj)
        if not _c.grants(obj.__name__):
            where = self.names.module(obj)
            if where:
                return _named, where
        return _module, (obj.__name__, *self.names.submodules(obj))

    def builtin(self, obj):
        of = obj.__self__
        if of is None or type(of) is str or isinstance(of, type(_sys)):
            where = self.names.of(obj)
            return (_named, where) if where else self.refuse(obj)
        return getattr, (of, obj.__name__)

    # ---- functions ----------------------------------------------------------------------

    def function(self, obj):
        where = self.names.of(obj)
        if where:
            return _named, where
        names = obj.__globals__
        home = names.get("__name__")
        if type(home) is str and home != "__main__" and getattr(_sys.modules.get(home), "__dict__", None) is names:
            names = home
        for name, cell in zip(obj.__code__.co_freevars, obj.__closure__ or ()):
            if name == "__classdict__":
                self.find_namespace(cell)
        arguments = (self.code_of(obj, home), names, obj.__name__, obj.__closure__)
        return _function, arguments, (self.attributes(obj), obj.__dict__), None, None, _fill_function

    def code_of(self, function, home):
        code = function.__code__
        known = self.codes.get(id(code))
        if known is None:
            known = _c.save_code(code)
            if known is None:  # the library's
                known = home, code.co_qualname, code.co_firstlineno
                try:
                    same = _library_code(*known) is code
                except Exception:
                    same = False
                if not same:
                    self.refuse(function)
            self.codes[id(code)] = known
            self.held.append(code)
        return known

    def attributes(self, obj):
        found = {"__qualname__": obj.__qualname__, "__module__": obj.__module__}
        for name in ("__doc__", "__defaults__", "__kwdefaults__", "__type_params__"):
            value = getattr(obj, name)
            if value is not None and value != ():
                found[name] = value
        if obj.__annotate__ is not None:
            found["__annotate__"] = obj.__annotate__
        elif obj.__annotations__:
            found["__annotations__"] = obj.__annotations__
        return found

    def find_namespace(self, cell):
        """Annotations look names up in their class's own dict, which nobody else can hold."""
        names = cell.cell_contents
        for kind in reversed(self.classes):
            body = _body_of(kind)
            if len(body) == len(names) and body == names:
                self.namespaces[id(cell)] = cell, kind
                return

    def cell(self, obj):
        if id(obj) in self.namespaces:
            return _namespace, (self.namespaces[id(obj)][1],)
        try:
            value = obj.cell_contents
        except ValueError:
            return _cell, ()
        return _cell, (), (value,), None, None, _fill_cell

    def code(self, obj):
        known = self.codes.get(id(obj))
        if known is None:
            known = self.codes[id(obj)] = _c.save_code(obj)
            self.held.append(obj)
        return (_code, (known,)) if type(known) is int else self.refuse(obj)

    def method(self, obj):
        return _Method, (obj.__func__, obj.__self__)

    def cached(self, obj):
        given = obj.cache_parameters()
        return _cached, (obj.__wrapped__, given["maxsize"], given["typed"])

    # ---- classes ------------------------------------------------------------------------

    def type(self, obj):
        where = self.names.of(obj)
        if where:
            return _named, where
        if not obj.__flags__ & _HEAP:
            self.refuse(obj)
        self.classes.append(obj)
        self.asks = self.asks or not _ASKED.isdisjoint(_body_of(obj))
        parts = [_Part(obj, names) for names in _in_order(_body(obj))]
        return _class, _skeleton(obj), (parts, _registered(obj)), None, None, _fill_class

    def part(self, obj):
        return _fill_part, (obj.kind, obj.names)

    def property(self, obj):
        return property, (obj.fget, obj.fset, obj.fdel, obj.__doc__)

    def wrapped(self, obj):
        where = self.names.of(obj)
        return (_named, where) if where else (type(obj), (obj.__func__,))

    def proxy(self, obj):
        mapping = self.proxied(obj)
        if type(mapping) is dict and "__module__" in mapping and "__doc__" in mapping:
            mapping = dict(mapping)  # a class's own, which nobody else can hold
        return type(obj), (mapping,)

    def proxied(self, obj):
        """What a proxy stands for: the operand of | that it hands over in its own place."""
        other = _Operand()
        if (obj | other) is not other:
            self.refuse(obj)
        return other.met

    def type_parameter(self, obj):
        where = self.names.shares(obj)
        if where:
            return _named, where
        given = {}
        for name in ("__bound__", "__covariant__", "__contravariant__", "__infer_variance__"):
            if getattr(obj, name, None):
                given[name.strip("_")] = getattr(obj, name)
        return _with_names, (type(obj), (obj.__name__, *getattr(obj, "__constraints__", ())), given)

    def type_alias(self, obj):
        return _with_names, (type(obj), (obj.__name__, obj.__value__), {"type_params": obj.__type_params__})

    def new_type(self, obj):
        return _reduce_instance(obj, object)

    # ---- instances ----------------------------------------------------------------------

    def member(self, obj):
        kind = type(obj)
        base = next(c for c in kind._member_type_.__mro__ if not c.__flags__ & _HEAP or self.names.of(c))
        if base is not object and base not in _PLAIN and base not in _OPEN:
            reduced = base.__reduce_ex__(obj, 5)
            return _reduce_inherited(self, obj, base, reduced) if reduced[0] is kind else self.refuse(obj)
        value = _plain(base, obj) if base in _PLAIN else None
        items = dict(dict.items(obj)) if base is dict else list(base.__iter__(obj)) if base in _OPEN else None
        return _new, (kind, base, value, None), (_names_of(obj), _slots_of(self, obj), items, None), None, None, _fill

    def exception(self, obj):
        kind = type(obj)
        base, by = _builtin_base(kind), _reduced_by(kind)
        state = obj.__cause__, obj.__context__, obj.__suppress_context__
        if by.__flags__ & _HEAP and not self.names.of(by):
            made, arguments, *rest = obj.__reduce_ex__(5)
            return made, arguments, (rest[0] if rest else None, *state), None, None, _fill_raised
        members, slots, arguments = _members(base, obj), _slots_of(self, obj), obj.args
        if issubclass(base, BaseExceptionGroup):  # its arguments are those of the guest's class, which may have others
            group = BaseExceptionGroup
            members["args"], arguments = arguments, (group.message.__get__(obj), group.exceptions.__get__(obj))
        state = _names_of(obj), *state, base, members, *([slots] if slots else [])
        return _raised, (kind, base, arguments), state, None, None, _fill_raised

    def weak(self, obj):
        target = obj()
        if target is None or obj.__callback__ is not None:
            self.refuse(obj)
        return type(obj), (target,)

    def weak_proxy(self, obj):
        target, proxy = self.proxied(obj), _sys.modules["weakref"].proxy
        if proxy(target) is not obj:  # it has a callback
            self.refuse(obj)
        return proxy, (target,)

    def weak_container(self, obj):
        return type(obj), (list(obj) if type(obj).__name__ == "WeakSet" else dict(obj),)

    def refuse(self, obj):
        raise TypeError(f"cannot pickle {type(obj).__name__!r} object")


# What the library would have pickled by the name that the guest gave it.
_NAMED_BY_MAIN = {
    ("functools", "_lru_cache_wrapper"): _Saver.cached,
    ("typing", "TypeVar"): _Saver.type_parameter,
    ("typing", "ParamSpec"): _Saver.type_parameter,
    ("typing", "TypeVarTuple"): _Saver.type_parameter,
    ("typing", "TypeAliasType"): _Saver.type_alias,
    ("typing", "NewType"): _Saver.new_type,
}


# ---- what a class consists of ---------------------------------------------------------------


def _body_of(kind):
    return type.__dict__["__dict__"].__get__(kind)


def _skeleton(kind):
    """The arguments of _class."""
    body = _body_of(kind)
    names = {"__qualname__": kind.__qualname__}
    for name in ("__module__", "__orig_bases__"):
        if name in body:
            names[name] = body[name]
    if "__slots__" in body:
        slots = [k for k, v in body.items() if type(v) is _Slot and v.__objclass__ is kind]
        names["__slots__"] = tuple(slots + [k for k in ("__dict__", "__weakref__") if _is_own_getset(body.get(k))])
    return type(kind), kind.__name__, kind.__bases__, names


class _Slotted:
    __slots__ = ("slot",)


_Slot = type(_Slotted.__dict__["slot"])
_GetSet = type(_Later.__dict__["__dict__"])
_MADE = frozenset("__dict__ __weakref__ __module__ __qualname__ _abc_impl __orig_bases__".split())


def _is_own_getset(value):
    return type(value) is _GetSet


def _body(kind):
    """What the class statement defined, and what was set later."""
    body, made = _body_of(kind), _MADE
    zones = _sys.modules.get("zoneinfo")
    if zones and issubclass(kind, zones.ZoneInfo):  # the base gives a new class a cache, which those made again are put in
        made = made | {"_weak_cache"}
    return {k: v for k, v in body.items() if k not in made and not (type(v) is _Slot and v.__objclass__ is kind)}


def _in_order(body):
    """The attributes of a class, as a state sets them: its methods before its data, which may
    be instances that need them. The first part has each name, so that their order stays."""
    first = {k: v if _is_plain(k, v) else None for k, v in body.items() if k != "__init_subclass__"}
    later = [k for k, v in body.items() if first.get(k, body) is not v]
    later.sort(key=lambda name: not hasattr(type(body[name]), "__get__"))
    return [first, *({name: body[name]} for name in later)]


def _is_plain(name, value):
    """Can it be made before the class has its methods?"""
    kind = type(value)
    if kind is _Function:
        closed = set(value.__code__.co_freevars) <= {"__class__", "__classdict__"}
        return closed and not value.__dict__ and all(type(v) in _SIMPLE for v in value.__defaults__ or ())
    if kind is staticmethod or kind is classmethod:
        return _is_plain(name, value.__func__)
    if kind is property:
        return all(_is_plain(name, f) for f in (value.fget, value.fset, value.fdel))
    return kind in _SIMPLE or name == "__abstractmethods__"


def _registered(kind):
    abc = _sys.modules.get("abc")
    if abc is None or not isinstance(kind, abc.ABCMeta):
        return ()
    from _abc import _get_dump

    return [other for other in (ref() for ref in _get_dump(kind)[0]) if other is not None]
