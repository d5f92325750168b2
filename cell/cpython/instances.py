# How instances of a guest's classes are reduced. Runs in the support module's namespace, after
# save.py, which needs it at the first of them: it has copyreg imported. What such a class says of its own pickling holds.

_REDUCES = (object.__reduce__, set.__reduce__, frozenset.__reduce__)
_new_object = object.__reduce_ex__(object(), 2)[0]  # of copyreg
_copyreg = _new_object.__globals__
_holders = _sys.getrefcount


def _held_alone():
    """How many holders the __dict__ of an object has that is nobody else's."""
    alone = _Later("")
    names = alone.__dict__
    return _holders(names)


_ALONE = _held_alone()


def _instance_reducer(saver, kind):
    """How instances of a guest's class are reduced, None for pickle's own way."""
    if hasattr(kind, "__checkpoint__"):
        if not hasattr(kind, "__restore__"):
            raise TypeError("it has __checkpoint__ but no __restore__")
        return lambda obj: _reduce_hooked(saver, obj)
    if kind in _copyreg["dispatch_table"]:
        return None
    base = _builtin_base(kind)
    if kind.__reduce_ex__ is not object.__reduce_ex__ or kind.__reduce__ not in _REDUCES:
        return _inherited_reducer(saver, kind)
    if base is not object and base not in _PLAIN and base not in _OPEN:
        return None
    if hasattr(kind, "__getnewargs_ex__") or _defines(kind, "__getnewargs__", base):
        return None
    made = _made_by(kind)
    if made is not base:
        says = hasattr(kind, "__setstate__") and _defines(kind, "__getstate__", object)
        return lambda obj: _reduce_made(saver, obj, made) if says else saver.refuse(obj)
    made_by = _defines(kind, "__new__", base) or _defines(kind, "__setattr__", object)
    hides = not _defines(kind, "__getstate__", object) and bool(_hidden_slots(kind))
    # pickle would ask the new instance for __setstate__, and so its class's __getattr__, which expects a whole one.
    answers = hasattr(kind, "__getattr__") or _defines(kind, "__getattribute__", object)
    if base is object and not made_by and not answers and not hides and kind.__hash__ in (None, object.__hash__):
        own_ways = _defines(kind, "__getstate__", object) or _copyreg["_slotnames"](kind)
        if not kind.__dictoffset__:
            return None
        return _reduce_if_shared if own_ways else (kind,)
    return lambda obj: _reduce_instance(obj, base, _slots_of(saver, obj) if hides else None)


def _builtin_base(kind):
    return next(c for c in kind.__mro__ if not c.__flags__ & _HEAP)


def _made_by(kind):
    """The class whose __new__ is C code that has to make a class's objects: no other base's may."""
    while type(_body_of(kind).get("__new__")) is not type(len):
        kind = kind.__base__
    return _body_of(kind)["__new__"].__self__


def _reduced_by(kind):
    """The class whose way of pickling a class has."""
    name = "__reduce__" if kind.__reduce_ex__ is object.__reduce_ex__ else "__reduce_ex__"
    return next(c for c in kind.__mro__ if name in _body_of(c))


def _inherited_reducer(saver, kind):
    """For a class that has a __reduce__. One of the library's would have the guest's class called."""
    of = _reduced_by(kind)
    if of.__flags__ & _HEAP and not saver.names.of(of):
        return _reduce_own
    base = next(c for c in kind.__mro__ if issubclass(c, of) and (not c.__flags__ & _HEAP or saver.names.of(c)))
    return lambda obj: _reduce_inherited(saver, obj, base, obj.__reduce_ex__(5))


def _reduce_own(obj):
    reduced = obj.__reduce_ex__(5)
    if type(reduced) is str:
        raise TypeError(f"its __reduce__ names the global {reduced!r}")
    return reduced


def _reduce_inherited(saver, obj, base, reduced):
    """base is the library's class that is remade, without what the guest's class does to that."""
    kind = type(obj)
    if type(reduced) is str:
        return reduced
    if reduced[0] is not kind:
        return _reduce_otherwise(saver, obj, base, *reduced)
    arguments, state = reduced[1], reduced[2] if len(reduced) > 2 else None
    items = None
    if issubclass(base, dict):
        items = dict(base.items(obj))
        if reduced[3:] == () and arguments and type(arguments[0]) is dict:  # a Counter's, which are the items
            arguments = ()
    elif len(reduced) > 3 and reduced[3] is not None:
        items = list(base.__iter__(obj))
    if state is None and _defines(kind, "__getstate__", base):
        state = kind.__getstate__(obj)
    return _remade, (kind, base, arguments), (base, items, *_parts(saver, obj, base, state)), None, None, _fill_remade


def _reduce_otherwise(saver, obj, base, made, arguments, state=None, *items):
    """A function of the library's remakes it, and may not know of what the guest's class adds: ZoneInfo's does not."""
    kind, names = type(obj), _names_of(obj)
    whole = any(items) or hasattr(kind, "__setstate__") or not (state is None or state is names)
    if whole or (getattr(made, "__self__", None) is not kind and kind not in arguments[:1]):
        return made, arguments, state, *items
    parts = _parts(saver, obj, base, None)
    return (made, arguments, (base, None, *parts), None, None, _fill_remade) if any(parts) else (made, arguments)


def _reduce_made(saver, obj, made):
    """What C code of the library's makes and does not reduce, but has a state of."""
    parts = _parts(saver, obj, made, type(obj).__getstate__(obj))
    return _remade, (type(obj), made, ()), (made, None, *parts), None, None, _fill_remade


def _reduce_if_shared(obj):
    """As pickle does it, which does not know that a __dict__ may be another's, too."""
    return NotImplemented if _shared_names(obj) is None else _reduce_instance(obj, object)


def _parts(saver, obj, base, state):
    """Attributes, slots, items and the state for __setstate__, as _fill takes them."""
    kind = type(obj)
    if hasattr(kind, "__setstate__"):
        own = None if state is None else (state,)
        if own and _defines(kind, "__setstate__", base):
            return None, None, None, own
        return _names_of(obj), _slots_of(saver, obj), None, own
    shared = _shared_names(obj)
    if shared is not None and not _defines(kind, "__getstate__", base):
        return None, {"__dict__": shared, **_slots_of(saver, obj)}, None, None
    if type(state) is tuple and len(state) == 2:
        names, slots = state
        hidden = () if _defines(kind, "__getstate__", base) else _hidden_slots(kind)
        if hidden:
            slots = {**{k: v for k, v in slots.items() if k not in hidden}, **_slots_of(saver, obj)}
        return names, slots, None, None
    if state is not None:
        return state, None, None, None
    return _names_of(obj), _slots_of(saver, obj), None, None


def _names_of(obj):
    return object.__getattribute__(obj, "__dict__") if type(obj).__dictoffset__ else None


def _shared_names(obj):
    """The __dict__ of an object if others have it, too, and it can be given it: some types make their own."""
    names = _names_of(obj)
    if names is None or (_holders(names) == _ALONE and type(names) is dict):
        return None
    return names if _is_own_dict(type(obj)) else None


def _is_what_it_says(kind):
    """Are the class and the __dict__ of its instances what Python makes them?"""
    return _is_own_dict(kind) and not any("__class__" in _body_of(c) for c in kind.__mro__[:-1])


def _is_own_dict(kind):
    """Is the __dict__ of a class's instances what Python makes it?"""
    given = next(c for c in kind.__mro__ if "__dict__" in _body_of(c))
    return _is_own_getset(_body_of(given)["__dict__"])


def _hidden_slots(kind):
    """The names of slots that a class has something else by: what asks it by name does not find what is in them."""
    seen, hidden = {}, set()
    for part in kind.__mro__:
        for name, value in _body_of(part).items():
            if seen.setdefault(name, value) is not value and type(value) is _Slot and part.__flags__ & _HEAP:
                hidden.add(name)
    return hidden


def _slots_of(saver, obj):
    """What is in the slots of the guest's classes, by name; those that are hidden are a list by None."""
    found, hidden, seen = {}, [], set()
    for kind in type(obj).__mro__:
        body = _body_of(kind)
        if kind.__flags__ & _HEAP and not saver.names.of(kind):
            for name, slot in body.items():
                if type(slot) is _Slot and slot.__objclass__ is kind:
                    try:
                        value = slot.__get__(obj)
                    except AttributeError:
                        continue
                    if name in seen:
                        hidden.append((kind, name, value))
                    else:
                        found[name] = value
        seen.update(body)
    return {**found, None: hidden} if hidden else found


def _members(base, obj):
    """What an exception of a builtin class holds beside its arguments and __dict__: the name of an ImportError.
    The object that had no such attribute is left, as pickle leaves it."""
    found = {}
    for kind in base.__mro__:
        if kind not in (BaseException, BaseExceptionGroup):
            members = {k: v.__get__(obj) for k, v in _body_of(kind).items() if type(v) is _Slot and k != "obj"}
            found |= {name: value for name, value in members.items() if value is not None}
    return found


def _defines(kind, name, base):
    return getattr(kind, name, None) is not getattr(base, name, None)


def _plain(base, obj):
    """The value of an instance as one of its builtin base."""
    if base in (tuple, bytes):
        return base.__getitem__(obj, slice(None))
    if base is str:
        return str.__str__(obj)
    if base is int:
        return int.__int__(obj)
    if base is float:
        return float.__float__(obj)
    if base is complex:
        return complex(obj.real, obj.imag)
    return list(frozenset.__iter__(obj))


def _reduce_hooked(saver, obj):
    kind = type(obj)
    base = _builtin_base(kind)
    state = obj.__checkpoint__()
    saver.held.append(obj)
    saver.hooked[id(obj)] = state
    value = _plain(base, obj) if base in _PLAIN else None
    return _new, (kind, _made_by(kind), value, None), (state,), None, None, _hooked


def _reduce_instance(obj, base, found=None):
    """found: what is in its slots, where its state does not tell."""
    kind = type(obj)
    value = _plain(base, obj) if base in _PLAIN else None
    items = None
    if base is dict:
        items = dict(dict.items(obj))
    elif base is list or base is set:
        items = list(base.__iter__(obj))
    own = names = slots = early = None
    shared = _shared_names(obj)
    state = kind.__getstate__(obj)
    if hasattr(kind, "__setstate__"):
        own = (state,) if state is not None else None
    elif type(state) is tuple and len(state) == 2:
        names, slots = state
    else:
        names = state
    if found is not None:
        slots = found
    if own is None and (names or slots) and kind.__hash__ is not object.__hash__ and kind.__hash__:
        early = {k: v for part in (names, slots) if type(part) is dict for k, v in part.items() if type(v) in _SIMPLE}
    if shared is not None and own is None and not _defines(kind, "__getstate__", object):
        names, slots = None, {"__dict__": shared, **(slots or {})}
    return _new, (kind, base, value, early), (names, slots, items, own), None, None, _fill
