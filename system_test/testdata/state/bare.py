# Nothing of the library: the state of this takes no import system, until it comes to what needs it.
number, text, data = 1 << 70, "é", b"\x00\xff"
point = 1.5 - 2j
rows = [{"a": i, "b": (i, [i])} for i in range(5)]
rows.append(rows)
kinds = [int, type, None.__class__, type(...), range, slice]
span, part = range(1, 10, 3), slice(1, None, 2)
either = int | str
generic = list[int]
walk = iter([1, 2, 3])
next(walk)
pairs = enumerate("ab")
back = reversed([1, 2])
both = zip([1], [2])
failure = ValueError("x", 1)


def outer(step, *, start: int = 3):
    def inner(n):
        return n * step + start

    return inner


scaled = outer(2)
double = lambda n: 2 * n  # noqa: E731


class Base:
    __slots__ = ("a",)

    def __init__(self):
        self.a = 1


class Derived(Base):
    made = []

    def __init__(self):
        super().__init__()
        self.b = [self]

    @property
    def both(self):
        return self.a, self.b

    @staticmethod
    def plain():
        return 7

    @classmethod
    def name(cls):
        return cls.__name__


thing = Derived()
Derived.made.append(thing)
method = thing.name


class Counted(dict):
    def __missing__(self, key):
        self[key] = 0
        return 0


counted = Counted(x=1)

# --- after ---
assert (number, text, data, point) == (1 << 70, "é", b"\x00\xff", 1.5 - 2j)
assert rows[5] is rows and rows[4] == {"a": 4, "b": (4, [4])}
assert kinds == [int, type, type(None), type(...), range, slice]
assert list(span) == [1, 4, 7] and part == slice(1, None, 2)
assert either == int | str and generic == list[int]
assert list(walk) == [2, 3] and list(pairs) == [(0, "a"), (1, "b")] and list(back) == [2, 1] and list(both) == [(1, 2)]
assert failure.args == ("x", 1)
assert scaled(4) == 11 and double(4) == 8 and outer.__annotations__ == {"start": int}
assert thing.both == (1, [thing]) and Derived.made == [thing] and method() == "Derived" and Derived.plain() == 7
assert counted["x"] == 1 and counted["y"] == 0
