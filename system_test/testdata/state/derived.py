# Classes that are derived from the library's, which have ways of their own to be pickled.
import collections
import datetime
import decimal
import fractions
import functools
import ipaddress
import pathlib
import random
import types

made = []


class LRU(collections.OrderedDict):
    def __init__(self, cap):
        made.append("LRU")
        super().__init__()
        self.cap = cap

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        if len(self) > self.cap:
            self.popitem(last=False)


lru = LRU(300)
for i in range(301):
    lru[i] = i
lru.move_to_end(1)
lru["self"] = lru


class Small(collections.OrderedDict):
    def __init__(self, cap=2):
        self.cap = cap

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        while len(self) > self.cap:
            self.popitem(last=False)


small = Small(4)
small.update({i: [i] for i in range(4)})


class History(collections.deque):
    def __init__(self, n):
        super().__init__(maxlen=n)
        self.n, self.all = n, 0

    def append(self, x):
        self.all += 1
        super().append(x)


history = History(3)
for i in range(4):
    history.append(i)


class Tree(collections.defaultdict):
    def __init__(self, name):
        super().__init__(list)
        self.name = name


tree = Tree("t")
tree["a"].append(1)


class Votes(collections.Counter):
    __slots__ = ("place",)

    def __init__(self, who):
        super().__init__()
        self.who, self.place = who, "p"

    def update(self, *a, **k):
        made.append("Votes")
        super().update(*a, **k)


votes = Votes("w")
votes["x"] += 2


class Day(datetime.date):
    def __new__(cls, text, note):
        self = super().__new__(cls, *map(int, text.split("-")))
        self.note = note
        return self


class Zone(datetime.tzinfo):
    def __init__(self, hours):
        self.hours = hours

    def utcoffset(self, when):
        return datetime.timedelta(hours=self.hours)


class Moment(datetime.datetime):
    pass


day, zone = Day("2020-02-03", "n"), Zone(2)
moment = Moment(2020, 1, 1, tzinfo=zone)
moment.tag = day


class Money(decimal.Decimal):
    def __new__(cls, amount, currency):
        self = super().__new__(cls, amount)
        self.currency = currency
        return self


class Ratio(fractions.Fraction):
    __slots__ = ("unit",)

    def __new__(cls, a, b, unit):
        self = super().__new__(cls, a, b)
        self.unit = unit
        return self


money, ratio = Money("1.50", "EUR"), Ratio(1, 3, "m")


class Buffer(bytearray):
    def __init__(self, name):
        self.name = name


buffer = Buffer("b")
buffer += b"xyz"


class Logbook(random.Random):
    def __init__(self, name):
        self.seeds = []
        super().__init__(7)
        self.name = name

    def seed(self, *a):
        self.seeds.append(a)
        super().seed(*a)


dice, same = Logbook("d"), random.Random(7)
dice.random(), same.random()


class Place(pathlib.PurePosixPath):
    def __init__(self, *parts, tag):
        super().__init__(*parts)
        self.tag = tag


class Host(ipaddress.IPv4Address):
    def __init__(self, text, name):
        super().__init__(text)
        self.name = name


class Step(functools.partial):
    def __new__(cls, f, name):
        self = super().__new__(cls, f, 2)
        self.name = name
        return self


class Space(types.SimpleNamespace):
    def __init__(self, a):
        super().__init__(a=a)


place, host, step, space = Place("/a", "b", tag="t"), Host("10.0.0.1", "h"), Step(pow, "s"), Space([1])
hash(place)
places = {place: 1}


class Own(collections.OrderedDict):
    def __init__(self, a):
        super().__init__()
        self.a = a

    def __reduce__(self):
        return Own, (self.a + 1,)


class Stated(collections.deque):
    def __init__(self, a):
        self.a, self.lock = a, iter([])

    def __getstate__(self):
        return self.a

    def __setstate__(self, state):
        self.a, self.lock = state, "made"


own, stated = Own(1), Stated(5)
stated.extend("xy")


class Missing(OSError):
    def __init__(self, path):
        super().__init__(2, "no", path)
        self.path = path


class NoModule(ImportError):
    def __init__(self, name):
        super().__init__(f"no {name}", name=name)


class NoField(AttributeError):
    def __init__(self, field, *, of):
        super().__init__(field, name=field)
        self.of = of


class Syntax(SyntaxError):
    def __init__(self, line):
        super().__init__("bad", ("f.py", line, 1, "text"))


class Exit(SystemExit):
    def __init__(self, *, why):
        super().__init__(3)
        self.why = why


class Sealed(ValueError):
    def __init__(self, a):
        self.__dict__["a"] = a

    def __setattr__(self, name, value):
        raise AttributeError(name)


syntax, leave, sealed = Syntax(7), Exit(why="w"), Sealed(1)
missing, no_module, no_field = Missing("/x"), NoModule("m"), NoField("f", of=[1])
faults = [FileNotFoundError(2, "no", "/y"), ImportError("i", name="n", path="p"), AttributeError("a", name="n")]
# --- after ---
assert made == ["LRU", "Votes"] and lru.cap == 300 and len(lru) == 300 and lru["self"] is lru and 2 not in lru
assert list(lru)[0] == 3 and list(lru)[-2:] == [1, "self"] and lru.popitem(last=False) == (3, 3)
assert small.cap == 4 and list(small.items()) == [(i, [i]) for i in range(4)]
assert list(history) == [1, 2, 3] and history.maxlen == 3 and history.n == 3 and history.all == 4
assert tree == {"a": [1]} and tree.name == "t" and tree["b"] == []
assert votes["x"] == 2 and votes["y"] == 0 and votes.who == "w" and votes.place == "p"
assert day == datetime.date(2020, 2, 3) and type(day) is Day and day.note == "n"
assert moment.tzinfo is zone and zone.hours == 2 and moment.tag is day and moment.utcoffset().seconds == 7200
assert str(money) == "1.50" and money.currency == "EUR" and ratio * 3 == 1 and ratio.unit == "m"
assert buffer == b"xyz" and buffer.name == "b" and type(buffer) is Buffer
assert dice.random() == same.random() and dice.name == "d" and dice.seeds == [(7,)]
assert str(place) == "/a/b" and place.tag == "t" and places[Place("/a/b", tag=0)] == 1
assert str(host) == "10.0.0.1" and host.name == "h" and step(3) == 8 and step.name == "s" and space.a == [1]
assert own.a == 3 and not own and stated.a == 5 and stated.lock == "made" and list(stated) == ["x", "y"]
assert str(missing) == "[Errno 2] no: '/x'" and missing.filename == missing.path == "/x" and missing.args == (2, "no")
assert str(no_module) == "no m" and no_module.name == "m"
assert no_field.name == "f" and no_field.of == [1] and no_field.args == ("f",)
assert str(faults[0]) == "[Errno 2] no: '/y'" and (faults[1].name, faults[1].path) == ("n", "p") and faults[2].name == "n"
assert syntax.lineno == 7 and str(syntax) == "bad (f.py, line 7)" and leave.code == 3 and leave.why == "w"
assert sealed.a == 1 and sealed.args == (1,)
