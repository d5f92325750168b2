import abc
import dataclasses
import enum
import functools
import typing


class Base:
    made = []
    told = []

    def __init_subclass__(cls, **options):
        Base.told.append(cls.__name__)

    def __init__(self, v):
        self.v = v
        Base.made.append(self)

    @property
    def double(self):
        return self.v * 2

    @double.setter
    def double(self, value):
        self.v = value / 2

    @classmethod
    def make(cls):
        return cls(9)

    @staticmethod
    def fixed():
        return "fixed"


class Derived(Base):
    x: int = 3

    def __init__(self):
        super().__init__(5)

    def more(self):
        return super().double + 1


thing = Derived()
bound, maker = thing.more, Derived.make


class Slots:
    __slots__ = ("a", "__b")

    def __init__(self):
        self.a, self.__b = 1, 2

    def b(self):
        return self.__b


class MoreSlots(Slots):
    __slots__ = ("c", "__dict__")


slots, more_slots = Slots(), MoreSlots()
more_slots.c, more_slots.d = 3, 4


class Color(enum.Enum):
    RED = 1
    BLUE = 2
    ALSO = 1

    def up(self):
        return self.name.lower()


class Number(enum.IntEnum):
    ONE = 1
    TWO = 2


class Bits(enum.Flag):
    P = 1
    Q = 2


class Word(str, enum.Enum):
    K = "k"


red, bits = Color.RED, Bits.P | Bits.Q


@dataclasses.dataclass(order=True)
class Row:
    key: int
    tags: list = dataclasses.field(default_factory=list, compare=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Cold:
    q: int
    part: "Cold | None" = None


row, cold = Row(1, ["t"]), Cold(3, Cold(2))
colds = {cold: "found"}


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...


class Square(Shape):
    def area(self):
        return 4


Shape.register(int)
square = Square()


class Meta(type):
    born = []

    def __new__(meta, name, bases, names, tag=None):
        meta.born.append((name, tag))
        return super().__new__(meta, name, bases, names)

    def shout(cls):
        return cls.__name__.upper()


class Made(metaclass=Meta, tag="x"):
    z = 4


class Field:
    def __set_name__(self, owner, name):
        self.name = name
        self.times = getattr(self, "times", 0) + 1

    def __get__(self, obj, kind=None):
        return ("field", self.name) if obj is None else obj.__dict__.get(self.name, 0)

    def __set__(self, obj, value):
        obj.__dict__[self.name] = value + 1


class Record:
    size = Field()


record = Record()
record.size = 1


class Node:
    def __init__(self, name):
        self.name, self.near = name, set()

    def __hash__(self):
        return hash(self.name)

    def __eq__(self, other):
        return self.name == other.name


a, b = Node("a"), Node("b")
a.near |= {a, b}
b.near.add(a)


class Logged(dict):
    def __init__(self):
        self.log = []

    def __setitem__(self, key, value):
        self.log.append(key)
        super().__setitem__(key, value)


logged = Logged()
logged["q"] = 1


class Stack(list):
    def append(self, x):
        raise RuntimeError("not again")


stack = Stack([1, 2])
stack.name = "s"


class Text(str):
    def __new__(cls, x, y):
        made = super().__new__(cls, x + y)
        made.y = y
        return made


text = Text("x", "y")


class Lone:
    def __new__(cls, needed):
        return object.__new__(cls)


lone = Lone(1)


class Own:
    def __init__(self):
        self.kept, self.cache = 1, "big"

    def __getstate__(self):
        return {"kept": self.kept}

    def __setstate__(self, state):
        self.__dict__.update(state, cache="rebuilt")


own = Own()


class Reduced:
    def __init__(self, n):
        self.n = n

    def __reduce__(self):
        return Reduced, (self.n + 1,)


reduced = Reduced(1)


class Self: ...


Self.me, Self.one = Self, Self()
T = typing.TypeVar("T")


UserId = typing.NewType("UserId", int)
type Numbers[N] = list[N] | None
users: Numbers[UserId] = [UserId(1)]


class Box(typing.Generic[T]):
    def get(self) -> T: ...


class NewBox[K]:
    def put(self, k: K) -> K:
        return k


class Pair(typing.NamedTuple):
    a: int
    b: str = "x"


class Says(typing.Protocol):
    def say(self) -> int: ...


class Lazy:
    @functools.cached_property
    def v(self):
        return 42


lazy, pair, box = Lazy(), Pair(1), Box()
lazy.v


class Outer:
    class Inner:
        def where(self):
            return type(self).__qualname__


inner = Outer.Inner()


class Fault(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a}-{b}")
        self.a = a


try:
    try:
        1 / 0
    except ZeroDivisionError as e:
        raise Fault(1, 2) from e
except Fault as e:
    e.add_note("noted")
    fault = e
group = ExceptionGroup("g", [ValueError(1), KeyError("k")])
# --- after ---
assert Base.made == [thing] and Base.told == ["Derived"] and type(thing) is Derived
assert thing.double == 10 and thing.more() == 11 and bound() == 11 and bound.__self__ is thing
thing.double = 4
assert thing.v == 2 and maker.__self__ is Derived
assert Base.fixed() == "fixed" and Base.make().v == 9 and Derived.__annotations__ == {"x": int}


class Third(Base): ...


assert Base.told == ["Derived", "Third"]
assert slots.a == 1 and slots.b() == 2 and more_slots.c == 3 and more_slots.d == 4
try:
    slots.other = 1
    assert False
except AttributeError:
    pass
assert Color.RED is red and Color(1) is red and Color["ALSO"] is red and red.up() == "red"
assert list(Color) == [Color.RED, Color.BLUE] and Number(2) is Number.TWO == 2 and Bits(3) is bits and Bits.P in bits
assert Word("k") is Word.K == "k"
assert row == Row(1) and row < Row(2) and repr(row) == "Row(key=1, tags=['t'])" and Row(2).tags == []
assert cold == Cold(3, Cold(2)) and colds[Cold(3, Cold(2))] == "found"
try:
    cold.q = 1
    assert False
except dataclasses.FrozenInstanceError:
    pass
assert square.area() == 4 and isinstance(square, Shape) and isinstance(3, Shape) and not isinstance("", Shape)
try:
    Shape()
    assert False
except TypeError:
    pass
assert Made.shout() == "MADE" and Meta.born == [("Made", "x")] and Made.z == 4
assert Record.size == ("field", "size") and record.size == 2 and Record.__dict__["size"].times == 1
assert a in b.near and b in a.near and a in a.near and len(a.near) == 2 and next(iter(b.near)) is a
assert logged == {"q": 1} and logged.log == ["q"] and stack == [1, 2] and stack.name == "s"
assert text == "xy" and text.y == "y" and type(text) is Text and type(lone) is Lone
assert own.kept == 1 and own.cache == "rebuilt" and reduced.n == 3  # of two moves
assert Self.me is Self and type(Self.one) is Self
assert Box[int] and NewBox[int] and NewBox().put(3) == 3 and pair == (1, "x") and Pair(2).a == 2
assert UserId(2) == 2 and UserId.__supertype__ is int and UserId.__name__ == "UserId" and users == [1]
assert str(Numbers[int]) == "Numbers[int]" and Numbers.__value__.__args__[1] is type(None)
assert lazy.__dict__["v"] == 42 and inner.where() == "Outer.Inner"
assert str(fault) == "1-2" and fault.a == 1 and fault.__notes__ == ["noted"] and fault.__traceback__ is None
assert type(fault.__cause__) is ZeroDivisionError and fault.__suppress_context__
assert group.split(KeyError)[0].exceptions[0].args == ("k",)
