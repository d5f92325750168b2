# Enums whose members are something else, too.
import collections
import dataclasses
import datetime
import decimal
import enum
import typing


class Day(datetime.date, enum.Enum):
    FIRST = 2020, 1, 1
    LAST = 2020, 12, 31


class Span(datetime.timedelta, enum.Enum):
    HOUR = 0, 3600


class Point(typing.NamedTuple):
    x: int
    y: int


class Corner(Point, enum.Enum):
    ORIGIN = 0, 0
    FAR = 9, 9


@dataclasses.dataclass(frozen=True)
class Body:
    mass: float


@dataclasses.dataclass(frozen=True, slots=True)
class Slim:
    mass: float


class Planet(Body, enum.Enum):
    EARTH = 5.9


class Moon(Slim, enum.Enum):
    LUNA = 0.07


class Part(decimal.Decimal, enum.Enum):
    HALF = "0.5"


class Name(str): ...


class Who(Name, enum.Enum):
    ANN = "ann"


class Table(collections.OrderedDict, enum.Enum):
    T = [("b", 1), ("a", 2)]


class Rights(enum.IntFlag):
    R = 4
    W = 2


first, both, keys = Day.FIRST, Rights.R | Rights.W, {Day.LAST: 1, Corner.FAR: 2, Part.HALF: 3}
# --- after ---
assert first is Day.FIRST is Day(datetime.date(2020, 1, 1)) and first.month == 1 and Day.LAST > first
assert Span.HOUR.total_seconds() == 3600 and Span.HOUR.name == "HOUR"
assert Corner.FAR.x == 9 and Corner.FAR == (9, 9) and Corner((0, 0)) is Corner.ORIGIN
assert Planet.EARTH.mass == 5.9 and Planet["EARTH"] is Planet.EARTH and Moon.LUNA.mass == 0.07
assert Part.HALF * 2 == 1 and Part.HALF.value == decimal.Decimal("0.5") and Who.ANN == "ann" and Who("ann") is Who.ANN
assert list(Table.T.items()) == [("b", 1), ("a", 2)] and both is Rights(6) and both.name == "R|W"
assert keys[Day.LAST] == 1 and keys[Corner.FAR] == 2 and keys[Part.HALF] == 3
