import enum
class Color(enum.Enum):
    RED = enum.auto()
    GREEN = enum.auto()
class Perm(enum.Flag):
    R = 4
    W = 2
    X = 1
print(list(Color), Color(1), Color["GREEN"].value, Perm.R | Perm.X, Perm(7), repr(Perm(0)))
print(enum.IntEnum("N", "one two").two + 1, enum.StrEnum("S", ["a", "b"]).b.upper())
