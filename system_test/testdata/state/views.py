# Views of what others have, and references that hold nothing.
import collections
import functools
import types
import weakref

table = {"a": 1}
view = types.MappingProxyType(table)
chain = types.MappingProxyType(collections.ChainMap(table, {"b": 2}))
table["view"] = view


@functools.singledispatch
def show(x):
    return "any"


@show.register
def _(x: int):
    return "int"


registry = show.registry


class Parent:
    count = 0

    def __init__(self):
        self.children = [Child(self)]

    def __call__(self):
        return self.count


class Child:
    def __init__(self, parent):
        self.parent = weakref.proxy(parent)


class Bag(set): ...


parent, bag = Parent(), Bag({1})
near = weakref.proxy(bag)
# --- after ---
table["new"] = 5
assert view["new"] == 5 and chain["new"] == 5 and chain["b"] == 2 and view["view"] is view
assert type(chain) is types.MappingProxyType


@show.register
def _(x: str):
    return "str"


assert show("") == "str" and show(1) == "int" and show(None) == "any" and registry[str]("") == "str"
child = parent.children[0]
child.parent.count += 1
assert parent.count == 1 and child.parent() == 1 and type(child.parent) is weakref.CallableProxyType
near.add(2)
assert bag == {1, 2} and type(near) is weakref.ProxyType
del parent
try:
    child.parent.count
    assert False
except ReferenceError:
    pass
