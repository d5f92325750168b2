import array
import collections
import datetime
import decimal
import fractions
import io
import pathlib
import re
import types
import uuid

loop = [1, 2, [3]]
loop.append(loop)
table = {"loop": loop, 3: "int", (1, "t"): b"bytes", None: ..., 2.5: -0.0, 1j: NotImplemented}
pair = (loop, table)
names = globals()
mark = object()
marks = [mark, {"mark": mark}]
blob = bytearray(b"abc")
numbers = [0, -1, 255, 256, 2**64, -(2**200), 1.5, float("inf"), True, 3 - 4j]
texts = ["", "a", "é", "\udc80", "\U0001f40d", "x" * 300_000]
sets = [{1, 2}, frozenset({"a", ("b",)}), set()]
ranges = [range(3), slice(1, None, 2)]
ordered = collections.OrderedDict(b=1, a=2)
queue = collections.deque([1, 2], maxlen=5)
counts = collections.Counter("abca")
lists = collections.defaultdict(list, {"k": [1]})
chain = collections.ChainMap({"a": 1}, {"b": 2})
Point = collections.namedtuple("Point", "x y", defaults=[7])
point = Point(1)
when = [datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc), datetime.timedelta(1), datetime.date.max]
exact = [decimal.Decimal("1.50"), fractions.Fraction(1, 3), uuid.UUID(int=5), pathlib.PurePosixPath("/x/y")]
pattern = re.compile("(a+)b", re.IGNORECASE)
packed = array.array("d", [1.5, 2.5])
spot = types.SimpleNamespace(a=1, b=[2])
frozen = types.MappingProxyType({"a": 1})
stream = io.BytesIO(b"abcdef")
stream.read(2)
walk = iter([1, 2, 3])
next(walk)
steps = enumerate(["a", "b"])
next(steps)
backwards = reversed([1, 2, 3])
next(backwards)
both = zip([1, 2], "ab")
next(both)
add = loop.append
upper = str.upper
get = {"a": 1}.get
alias = list[int]
either = int | None
kinds = [int, type(None), type, type(len), Exception, collections.OrderedDict]
# --- after ---
assert loop[3] is loop and table["loop"] is loop and pair[0] is loop and pair[1] is table
assert list(table) == ["loop", 3, (1, "t"), None, 2.5, 1j] and table[None] is ... and str(table[2.5]) == "-0.0"
assert table[1j] is NotImplemented
assert names is globals() and marks[0] is mark and marks[1]["mark"] is mark and type(mark) is object
assert blob == b"abc" and type(blob) is bytearray
assert numbers == [0, -1, 255, 256, 2**64, -(2**200), 1.5, float("inf"), True, 3 - 4j] and numbers[8] is True
assert texts == ["", "a", "é", "\udc80", "\U0001f40d", "x" * 300_000]
assert sets == [{1, 2}, frozenset({"a", ("b",)}), set()] and ranges == [range(3), slice(1, None, 2)]
assert list(ordered.items()) == [("b", 1), ("a", 2)] and queue.maxlen == 5 and list(queue) == [1, 2]
assert counts["a"] == 2 and lists["new"] == [] and lists["k"] == [1] and chain["b"] == 2
assert point == Point(1, 7) and type(point) is Point and Point._fields == ("x", "y") and point._replace(x=2).x == 2
assert when == [datetime.datetime(2020, 1, 2, tzinfo=datetime.timezone.utc), datetime.timedelta(1), datetime.date.max]
assert str(exact[0]) == "1.50" and exact[1] * 3 == 1 and exact[2].int == 5 and str(exact[3] / "z") == "/x/y/z"
assert pattern.match("AAb").group(1) == "AA" and packed[1] == 2.5 and spot.b == [2]
assert frozen["a"] == 1 and type(frozen) is types.MappingProxyType and stream.read() == b"cdef"
assert list(walk) == [2, 3] and list(steps) == [(1, "b")] and list(backwards) == [2, 1] and list(both) == [(2, "b")]
add("new")
assert loop[-1] == "new" and upper("a") == "A" and get("a") == 1
assert alias == list[int] and either == int | None
assert kinds == [int, type(None), type, type(len), Exception, collections.OrderedDict]
