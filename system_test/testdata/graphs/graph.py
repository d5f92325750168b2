# Makes a graph of objects from a seed, and says what it is: shape, values and identities.
import collections
import datetime
import decimal
import enum
import fractions
import functools
import random
import types


class Plain:
    kind = "plain"

    def __init__(self):
        self.made = True

    def method(self):
        return self


class Slots:
    __slots__ = ("a", "b", "__dict__")


class Hashed:
    def __init__(self, name):
        self.name = name

    def __hash__(self):
        return hash(self.name)

    def __eq__(self, other):
        return type(other) is Hashed and self.name == other.name


class Words(dict):
    pass


class Line(list):
    pass


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


Pair = collections.namedtuple("Pair", "left right")
OPEN = [list, dict, set, Line, Words, Plain, Slots, collections.deque, collections.OrderedDict, types.SimpleNamespace]


def make_class(r, pick):
    bases = r.choice([(), (Plain,), (dict,)])
    # By its name a set's members are put in order: no two have the same.
    made = type(f"K{r.getrandbits(64)}", bases, {"__module__": "__main__", "held": pick()})
    made.later = pick()
    return made


def make_function(r, pick):
    a, b = pick(), pick()

    def inner(x=pick(), *, k=pick()):
        return a, x, k

    def setter(v):
        nonlocal b
        b = v
        return b

    inner.note = pick()
    return r.choice([inner, setter, lambda: (a, b), functools.partial(inner, pick(), k=pick())])


LEAVES = [
    lambda r: None,
    lambda r: r.randrange(-(2**70), 2**70),
    lambda r: r.random(),
    lambda r: complex(r.random(), 1),
    lambda r: "".join(chr(r.randrange(1, 0x2FFF)) for _ in range(r.randrange(12))),
    lambda r: r.randbytes(r.randrange(20)),
    lambda r: bytearray(r.randbytes(5)),
    lambda r: r.choice([True, False, ..., NotImplemented, int, len, Level, Plain, print, post]),
    lambda r: r.choice(list(Level)),
    lambda r: datetime.datetime(2000 + r.randrange(50), 1, 1, tzinfo=r.choice([None, datetime.timezone.utc])),
    lambda r: decimal.Decimal(r.randrange(10**9)).scaleb(-4),
    lambda r: fractions.Fraction(r.randrange(100), 7),
    lambda r: range(r.randrange(9)),
    lambda r: object(),
    lambda r: Hashed(f"h{r.randrange(50)}"),
    lambda r: Level,
]


def grow(seed, size):
    r = random.Random(seed)
    pool = [leaf(r) for leaf in LEAVES for _ in range(2)]

    def pick():
        return r.choice(pool)

    def hashable():
        while True:
            found = pick()
            if isinstance(found, (str, int, bytes, float, Hashed, decimal.Decimal, type)):
                return found

    made = []
    for _ in range(size):
        choice = r.randrange(14)
        if choice < 8:
            new = r.choice(OPEN)()
            made.append(new)
        elif choice == 8:
            new = tuple(pick() for _ in range(r.randrange(5)))
        elif choice == 9:
            new = Pair(pick(), pick())
        elif choice == 10:
            new = frozenset(hashable() for _ in range(3))
        elif choice == 11:
            new = make_function(r, pick)
        elif choice == 12:
            new = make_class(r, pick)
        else:
            new = r.choice([ValueError(pick(), pick()), types.MappingProxyType({"m": pick()}), r.choice(LEAVES)(r)])
        pool.append(new)
    for one in made:  # now anything may hold anything, itself too
        for i in range(r.randrange(4)):
            if isinstance(one, dict):
                one[hashable()] = pick()
            elif isinstance(one, (list, collections.deque)):
                one.append(pick())
            elif isinstance(one, set):
                one.add(hashable())
            elif isinstance(one, Slots):
                setattr(one, r.choice("abc"), pick())
            else:
                setattr(one, f"attr{i}", pick())
            if isinstance(one, (Line, Words)):
                one.extra = pick()
    return [pick() for _ in range(10)] + made


def grow_plain(seed, size):
    """Plain data, and what else refers to some of it."""
    r = random.Random(seed)
    made = [[]]
    for i in range(size):
        new = r.choice([lambda: [i], lambda: {f"k{i}": i}, lambda: (i, [i]), lambda: f"text {i}", lambda: b"%d" % i])()
        holder = r.choice(made)
        if isinstance(holder, dict):
            holder[r.choice([i, f"at {i}", (i,)])] = new
        elif isinstance(holder, list):
            holder.append(new)
        else:
            made[0].append(new)
        if isinstance(new, (list, dict)):
            made.append(new)
    links = []
    for _ in range(r.choice([0, 1, 10, size // 20])):
        held, link = r.choice(made[1:]), r.choice([lambda x: x, lambda x: [x], lambda x: functools.partial(len, x), Plain])
        if link is Plain:
            new = Plain()
            new.held = held
        else:
            new = link(held)
        where = r.choice([links, links, r.choice(made)])
        where.append(new) if isinstance(where, list) else where.setdefault("link", new)
    return made[0], links


def parts(o):
    """A word for what an object is by itself, and what it refers to, in order."""
    kind = type(o)
    if kind in (type(None), bool, int, float, complex, str, bytes, bytearray, range, type(...), type(NotImplemented)):
        return repr(o), []
    if isinstance(o, type):
        if o.__module__ != "__main__":
            return f"type {o.__module__}.{o.__qualname__}", []
        held = [v for k, v in sorted(vars(o).items()) if k in ("held", "later", "kind")]
        return f"class {o.__qualname__} {sorted(vars(o))}", list(o.__bases__) + held
    if kind in (datetime.datetime, decimal.Decimal, fractions.Fraction) or isinstance(o, enum.Enum):
        return f"{kind.__name__} {o!r}", []
    below = [kind]
    if isinstance(o, types.FunctionType):
        cells = [c for c in o.__closure__ or ()]
        below = cells + [c.cell_contents for c in cells] + [o.__defaults__, o.__kwdefaults__, o.__dict__]
        return f"function {o.__qualname__} {o.__code__.co_code!r}", below
    if kind is functools.partial:
        return "partial", [o.func, o.args, o.keywords]
    if kind is types.CellType:
        return "cell", [o.cell_contents]
    if isinstance(o, types.BuiltinFunctionType):
        return f"builtin {o.__name__}", []
    if isinstance(o, dict):
        below += [x for item in o.items() for x in item]
    elif isinstance(o, types.MappingProxyType):
        below += [x for item in o.items() for x in item]
    elif isinstance(o, (set, frozenset)):
        below += sorted(o, key=lambda x: (type(x).__qualname__, x.name if type(x) is Hashed else str(x)))
    elif isinstance(o, (list, tuple, collections.deque)):
        below += list(o)
    elif isinstance(o, BaseException):
        below += o.args
    if isinstance(o, Slots):
        below += [getattr(o, n) for n in "ab" if hasattr(o, n)]
    attributes = getattr(o, "__dict__", {})
    return f"{kind.__qualname__} {len(below)} {list(attributes)}", below + list(attributes.values())


def describe(root):
    """The graph as text: objects by the order in which they are met."""
    numbers, todo, lines, kept = {id(root): 0}, [root], [], []
    while todo:
        word, below = parts(todo.pop())
        refers = []
        for child in below:
            if type(child) in (int, float, str, bytes, complex, range):  # may be shared or not
                refers.append(repr(child))
                continue
            if id(child) not in numbers:
                numbers[id(child)] = len(numbers)
                todo.append(child)
                kept.append(child)
            refers.append(str(numbers[id(child)]))
        lines.append(f"{word}: {' '.join(refers)}")
    return lines


def shape():
    return describe(graph) if "graph" in globals() else describe([tree, links])
