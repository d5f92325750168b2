# Names the place of an object that no state can carry. Runs in the support module's namespace,
# after save.py, when a snapshot is refused.


def _shown(key):
    return repr(key)[:80] if type(key) in _SIMPLE else f"<{type(key).__name__}>"


def _children(saver, obj):
    """(label, child) of all that a state carries of an object."""
    kind = type(obj)
    # isinstance would take a proxy for what it stands for.
    if issubclass(kind, dict):
        for key, value in list(dict.items(obj)):
            yield ".<key>", key
            yield f"[{_shown(key)}]", value
    elif issubclass(kind, (list, tuple)):
        for i, item in enumerate((list if issubclass(kind, list) else tuple).__iter__(obj)):
            yield f"[{i}]", item
    elif issubclass(kind, (set, frozenset)):
        for item in list(obj):
            yield ".<member>", item
    if kind in _SIMPLE or kind in (dict, list, tuple, set, frozenset):
        return
    if id(obj) in saver.hooked:
        yield ".__checkpoint__()", saver.hooked[id(obj)]
    elif kind is _Function:
        yield from _in_function(obj)
    elif isinstance(obj, type):
        yield from ((f".<base {base.__name__}>", base) for base in obj.__bases__)
        yield from ((f".{name}", value) for name, value in _body(obj).items())
    else:
        yield from _in_instance(saver, obj)


def _in_function(obj):
    for name, cell in zip(obj.__code__.co_freevars, obj.__closure__ or ()):
        try:
            yield f".<closure {name!r}>", cell.cell_contents
        except ValueError:
            pass
    code = obj.__code__
    defaults = obj.__defaults__ or ()
    for name, value in zip(code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount], defaults):
        yield f".<default {name!r}>", value
    for name, value in (obj.__kwdefaults__ or {}).items():
        yield f".<default {name!r}>", value
    for name, value in obj.__dict__.items():
        yield f".{name}", value
    if obj.__annotate__ is not None:
        yield ".__annotate__", obj.__annotate__
    if obj.__globals__.get("__name__") != "__main__":
        yield ".__globals__", obj.__globals__


_PARTS = {
    _Method: ("__self__", "__func__"),
    property: ("fget", "fset", "fdel"),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    type(len): ("__self__",),
    BaseException: ("args", "__cause__", "__context__"),
}


def _in_instance(saver, obj):
    parts = _PARTS.get(BaseException if isinstance(obj, BaseException) else type(obj), ())
    if type(obj).__name__ == "partial":
        parts = ("func", "args", "keywords")
    for name in parts:
        yield f".{name}", getattr(obj, name)
    if not saver.names.of(type(obj)):  # a __reduce__ of the library does not tell what it does not know
        yield from ((f".{name}", value) for name, value in list((_names_of(obj) or {}).items()))
        yield from ((f".{name}", value) for _, name, value in _slots_of(saver, obj).get(None, ()))
    try:
        reduced = obj.__reduce_ex__(5)
    except Exception:
        reduced = None, (), getattr(obj, "__dict__", None)
    if type(reduced) is tuple:
        yield from _in_reduced(obj, reduced, not parts)


def _in_reduced(obj, reduced, whole):
    made, arguments, state, items, pairs, *_ = (*reduced, None, None, None, None)
    parts = state if type(state) is tuple and len(state) == 2 else (state,)
    if all(part is None or type(part) is dict for part in parts):
        for part in parts:
            yield from ((f".{name}", value) for name, value in (part or {}).items())
    else:
        yield ".<state>", state
    for i, argument in enumerate(arguments if whole and arguments else ()):
        yield ".__class__" if argument is type(obj) else f".<argument {i}>", argument
    yield from ((f"[{i}]", item) for i, item in enumerate(items or ()))
    yield from ((f"[{_shown(key)}]", value) for key, value in (pairs or ()))
    yield ".<made by>", made


def _where(saver, name, root):
    """The shortest way from a name to what was refused, or the name alone."""
    target, place = saver.last, f"globals[{name!r}]"
    if root is target:
        return place
    seen = {id(root)} | {id(anchor) for anchor in _anchors()}
    level, kept = [(root, None)], []
    while level:
        below = []
        for step in level:
            for label, child in _children(saver, step[0]):
                if child is target:
                    return place + _path(step) + label
                if id(child) not in seen and type(child) not in _SIMPLE:
                    seen.add(id(child))
                    kept.append(child)  # or another object would get its id
                    below.append((child, (label, step)))
        level = below
    return place


def _path(step):
    labels = []
    while step[1] is not None:
        label, step = step[1]
        labels.append(label)
    return "".join(reversed(labels))
