# Classes that hold instances of themselves.
import abc
import dataclasses
import enum
import functools
import typing


@dataclasses.dataclass(frozen=True, slots=True)
class Vec:
    x: int
    parts: tuple = ()


Vec.ZERO = Vec(0)
Vec.ONE = Vec(1, (Vec.ZERO,))
Vec.named = {Vec.ZERO: "zero", Vec.ONE: "one"}


class Stateful:
    _schema = {"v": int}

    def __init__(self, v):
        self.v = v

    def __setstate__(self, state):
        self.v = self._schema["v"](state["v"])


Stateful.all = [Stateful(1), Stateful(2)]


class P(typing.NamedTuple):
    x: int
    y: int


P.ORIGIN = P(0, 0)


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...


class Sq(Shape):
    def area(self):
        return 1


Sq.unit = Sq()
Shape.known = [Sq.unit]


def logged(f):
    @functools.wraps(f)
    def call(self):
        call.seen.append(self)
        return f(self)

    call.seen = []
    return call


class Node:
    all = set()
    by_node = {}

    def __init__(self, name):
        self.name = name
        self.all.add(self)
        self.by_node[self] = name

    def __hash__(self):
        return hash(("node", self.name))

    def __eq__(self, other):
        return self.name == other.name

    @logged
    def greet(self):
        return f"I am {self.name}"


a, b = Node("a"), Node("b")
a.greet()


def local():
    class Inner:
        held = set()

        def __hash__(self):
            return 7

        def __eq__(self, other):
            return type(other) is type(self)

    Inner.held.add(Inner())
    return Inner()


inner = local()


class Plan(enum.Enum):
    FREE = 1
    FULL = 2

    @property
    def price(self):
        return self.prices[self]


Plan.prices = {Plan.FREE: 0, Plan.FULL: 9}


class Ordered:
    b = [1]
    a = 1

    def __init_subclass__(cls):
        cls.told = True

    def method(self): ...

    @functools.cached_property
    def cached(self):
        return 3

    c = ()


order = [name for name in vars(Ordered) if name[0] != "_"]
# --- after ---
assert Vec.ZERO == Vec(0) and Vec.ONE.parts[0] is Vec.ZERO and Vec.named[Vec(1, (Vec(0),))] == "one"
assert [s.v for s in Stateful.all] == [1, 2] and vars(Stateful.all[0]) == {"v": 1}
assert P.ORIGIN == (0, 0) and type(P.ORIGIN) is P and P.ORIGIN._replace(x=1) == P(1, 0)
assert Sq.unit.area() == 1 and type(Sq.unit) is Sq and Shape.known == [Sq.unit] and not Sq.__abstractmethods__
assert a in Node.all and Node("b") in Node.all and len(Node.all) == 2 and Node.by_node[b] == "b"
assert a.greet() == "I am a" and Node.greet.seen == [a, a] and Node.greet.seen[0] is a
assert inner in type(inner).held and type(next(iter(type(inner).held))) is type(inner)
assert Plan.FULL.price == 9 and Plan.prices[Plan(1)] == 0
assert [name for name in vars(Ordered) if name[0] != "_"] == order == ["b", "a", "method", "cached", "c"]
assert Ordered().cached == 3 and not hasattr(Ordered, "told") and type("Sub", (Ordered,), {}).told
