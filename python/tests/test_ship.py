"""Functions that are sent to cells: what can be sent, what cannot, and what is said of it."""

import collections
import dataclasses
import decimal
import enum
import functools
import json
import math
import os
import os.path as a_path
import posixpath
import re
import unittest
import urllib.parse
import xml.dom.minidom
from collections import OrderedDict
from datetime import timedelta
from functools import reduce as functools_reduce
from hashlib import sha256
from math import sqrt
from os import getpid
from os.path import join
from random import choice, random
from re import IGNORECASE

from . import support
from .support import NodeTestCase
import pyisolate as iso
from pyisolate._ship import Shipment

LIMIT = {"a": (1, 2), "b": {3}, "c": [b"x", 1.5, None, float("inf"), 1j, frozenset({4}), bytearray(b"y")]}
NUMBERS = [-5, 10**5000, -0.0, complex("nan"), complex(1, float("-inf"))]
SHARED = [1]
PRICE = decimal.Decimal("1.5")
WORD = re.compile(r"(?P<first>\w)\w*", re.IGNORECASE | re.DOTALL)
PATTERNS = {"text": WORD, "bytes": [re.compile(rb"\xff.", re.DOTALL)]}
MODULES = {"first": [urllib, {"second": xml}]}
COUNT = 0
LAMBDA = lambda x, y=2: x * y + SHARED[0]  # noqa: E731
HERE, THERE = lambda x: x + 1, lambda x: x + 2  # noqa: E731


class Point:
    def norm(self):
        return 0


class Colour(enum.Enum):
    RED = "r"


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Pair:
    a: int


RED, LOW, PAIR = Colour.RED, Level.LOW, Pair(1)


def patterns(text, of=PATTERNS):
    found = [WORD.match(text)["first"], of["text"].flags == WORD.flags, of["bytes"][0].match(b"\xff\n")[0].hex()]
    return [*found, WORD.pattern]


def helper(x, y=LIMIT):
    return sqrt(x) + y["a"][0]


def factorial(n):
    return 1 if n == 0 else n * factorial(n - 1)


def even(n):
    return True if n == 0 else odd(n - 1)


def odd(n):
    return False if n == 0 else even(n - 1)


def noisy(f):
    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        return ["noisy", f(*args, **kwargs)]

    return wrapper


def closure(n, names=("a",)):
    # fmt: off
    def inner(a, b=[1,
            2], *, c=(n
               + 1), d="""two
lines"""):
        """Of several
lines, which stay as they are."""
        return [a, b, c, d, n, names, inner.__doc__]
    # fmt: on
    return inner


@noisy
def decorated(x):
    return helper(x)


@noisy
def decorated_recursion(n, step=1):
    return 0 if n == 0 else [n, decorated_recursion(n - step)]


_lambda = 5
OWN_NAME = lambda: _lambda  # noqa: E731  # what a lambda is called in the cell


def uses_all(values):
    total = OrderedDict(sum=sum(values), root=math.sqrt(len(values)), text=json.dumps(values))
    total["limit"] = [LIMIT["a"], sorted(LIMIT["b"]), repr(LIMIT["c"])]
    total["nested"] = [(lambda v: v + SHARED[0])(v) for v in values]
    total["joined"] = os.path.join("a", "b")
    total["count"] = collections.Counter(values)[1]
    return total


def annotated(x: "decimal.Decimal", y: Point = None) -> Point:
    z: Point = x
    return z


def numbers():
    return [NUMBERS[0], NUMBERS[1] == 10**5000, str(NUMBERS[2]), str(NUMBERS[3]), str(NUMBERS[4])]


def uses_module():
    return support.os


def posts(n):
    for i in range(n):
        post(i)  # noqa: F821  # a name that cells have
    log("info", "done")  # noqa: F821


def fails(x):
    y = x + 1

    return y / 0


def submodules(x):
    return [urllib.parse.quote(x), [xml.dom.minidom.Document().nodeName for _ in range(1)]]


def submodule_of_closure():
    import email.utils

    return lambda x: email.utils.quote(x)


def submodule_of_an_import():
    import xml.dom as first
    from xml import dom as second

    return [first.minidom.Document().nodeName, second.minidom.Document().nodeName]


def submodule_of_a_second_name(of=xml.dom):
    first = xml.dom
    second = first
    if third := second:
        return [first.minidom.Document().nodeName, (lambda: third.minidom)().Document().nodeName, of.minidom.Node.TEXT_NODE]


def submodules_of_modules_in_values(also=([xml],)):
    first, second = MODULES["first"]
    return [first.parse.quote("a b"), second["second"].dom.minidom.Node.TEXT_NODE, also[0][0].dom.minidom.Node.TEXT_NODE]


def with_class(x):
    class Pair:
        size = 2

        def __init__(self, a):
            self.a = a

        def twice(self):
            return self.a * self.size

    return Pair(x).twice()


def recursive_default(x, f=factorial, g=math.floor, h=len):
    return [f(x), g(x + 0.5), h([x])]


GOOD = [
    (helper, (4,), 3.0),
    (factorial, (5,), 120),
    (even, (7,), False),
    (LAMBDA, (4,), 9),
    (closure(5), (0,), [0, [1, 2], 6, "two\nlines", 5, ["a"], "Of several\nlines, which stay as they are."]),
    (decorated, (9,), ["noisy", 4.0]),
    (decorated_recursion, (1,), ["noisy", [1, ["noisy", 0]]]),
    (OWN_NAME, (), 5),
    (annotated, (1,), 1),
    (submodules, ("a b",), ["a%20b", ["#document"]]),
    (submodule_of_closure(), ('"',), '\\"'),
    (with_class, (4,), 8),
    (recursive_default, (3,), [6, 3, 1]),
    (lambda: 7, (), 7),
    (patterns, ("Ab",), ["A", True, "ff0a", WORD.pattern]),
    (numbers, (), [-5, True, "-0.0", "(nan+0j)", "(1-infj)"]),
]


NAMED = [
    ("functools", lambda: functools_reduce(max, [1, 3, 2])),
    ("hashlib", lambda: sha256(b"").hexdigest()),
    ("os", lambda: [join("a", "b"), a_path.join("a", "b"), os.path.join("a", "b"), getpid() > 0]),
    ("posixpath", lambda: posixpath.join("a", "b")),
    ("random", lambda: [choice([1]), random() < 1]),
    ("re", lambda: bool(re.match("a", "A", IGNORECASE))),
]


class ShipTest(NodeTestCase):
    def setUp(self):
        self.cell = iso.spawn(policy=iso.Policy(iso.Import("*")))

    def tearDown(self):
        self.cell.close()

    def run_in_cell(self, function, *args):
        shipment = Shipment(function)
        self.cell.exec(shipment.code)
        return self.cell.call(shipment.entry, *args)

    def test_good(self):
        for function, args, want in GOOD:
            with self.subTest(function.__qualname__):
                self.assertEqual(self.run_in_cell(function, *args), want)

    def test_all_kinds_of_globals(self):
        got = self.run_in_cell(uses_all, [1, 2, 1])
        self.assertEqual(got, json.loads(json.dumps(uses_all([1, 2, 1]))))

    def test_submodules_of_modules_that_have_a_second_name(self):
        for function in (submodule_of_an_import, submodule_of_a_second_name, submodules_of_modules_in_values):
            with self.subTest(function.__name__):
                # In a cell of its own, where nothing else has imported them.
                self.assertEqual(iso.sandbox(function, allowed_imports=["urllib", "xml"])(), function())

    def test_what_is_imported_is_what_the_program_imports(self):
        """And not the module that it is from, which no list of a program's has."""
        for module, function in NAMED:
            with self.subTest(module):
                self.assertEqual(iso.sandbox(function, allowed_imports=[module])(), function())

    def test_guest_names(self):
        self.run_in_cell(posts, 3)
        self.assertEqual([self.cell.recv(5) for _ in range(3)], [0, 1, 2])

    def test_values_are_those_of_now(self):
        global COUNT

        def count():
            return COUNT

        for COUNT in (1, 2):
            self.assertEqual(self.run_in_cell(count), COUNT)

    def test_two_lambdas_on_one_line(self):
        if not hasattr(HERE.__code__, "co_positions"):
            with self.assertRaises(iso.NotShippable) as caught:
                Shipment(HERE)
            self.assertIn("give each a line of its own", str(caught.exception))
            return
        self.assertEqual((self.run_in_cell(HERE, 1), self.run_in_cell(THERE, 1)), (2, 3))

    def test_shared_values_stay_shared(self):
        def first():
            SHARED.append(2)
            return second()

        def second():
            return SHARED

        self.assertEqual(self.run_in_cell(first), [1, 2])
        self.assertEqual(SHARED, [1], "what a cell does is not done here")

    def test_the_traceback_has_the_lines_of_the_file(self):
        shipment = Shipment(fails)
        self.cell.exec(shipment.code)
        with self.assertRaises(iso.GuestError) as caught:
            self.cell.call(shipment.entry, 1)
        shipment.explain(caught.exception)
        line = fails.__code__.co_firstlineno + 3
        self.assertIn(
            f'File "test_ship.py", line {line}, in fails\n    return y / 0\n', caught.exception.traceback
        )

    def test_a_guest_that_says_where_it_failed(self):
        """Its message is in its traceback, and can have any numbers of any lines."""
        for line in ("0", "00", "9" * 9, "9" * 5000):
            for file in ("<shipped>", "test_ship.py", "nowhere.py"):
                frame = f'  File "{file}", line {line}, in f'
                with self.subTest(file=file, line=line[:10]), self.assertRaises(iso.GuestError) as caught:
                    iso.sandbox(fails_with)("x\n" + frame)
                self.assertIn(f"x\n{frame}\n", caught.exception.traceback + "\n")
                self.assertIn("raise Exception(words)", caught.exception.traceback)


def fails_with(words):
    raise Exception(words)


def changes_global():
    global COUNT
    COUNT = 1


def uses_price():
    return PRICE


def uses_red():
    return RED


def uses_colour():
    return Colour.RED


def uses_low():
    return [LOW]


def uses_pair():
    return PAIR


def with_defaults(x, y=1, z=PRICE, *, w=[PRICE]):
    return y


def with_default(x, *, w=[PRICE]):
    return w


def uses_point():
    return Point()


def uses_nested():
    return NESTED


def uses_nothing():
    return no_such_name  # noqa: F821


def uses_loop():
    return LOOP


async def asynchronous():
    return 1


def changes_nonlocal():
    n = 0

    def inner():
        nonlocal n
        n += 1
        return n

    return inner


def unset():
    def inner():
        return later

    yield inner
    later = 1  # noqa: F841


NESTED = {"rows": [1, timedelta(1)]}
LOOP = []
LOOP.append(LOOP)

BAD = [
    (changes_global, "changes the global 'COUNT'"),
    (changes_nonlocal(), "changes 'n' of the function around it"),
    (uses_price, "uses 'PRICE', a decimal.Decimal, which cannot be sent to a cell: make it of numbers"),
    (
        uses_point,
        "uses 'Point', the class tests.test_ship.Point, which cannot be sent to a cell: define it in the function",
    ),
    (uses_red, "uses 'RED', a tests.test_ship.Colour, which cannot be sent to a cell: send its value"),
    (uses_low, "uses 'LOW', a tests.test_ship.Level, which cannot be sent to a cell: send its value"),
    (uses_colour, "uses 'Colour', the class tests.test_ship.Colour, which cannot be sent to a cell: define it in the"),
    (uses_pair, "uses 'PAIR', a tests.test_ship.Pair, which cannot be sent to a cell: send dataclasses.asdict() of it"),
    (with_defaults, "test_ship.with_defaults has the default 'z', a decimal.Decimal, which"),
    (with_default, "test_ship.with_default has the default 'w'[0], a decimal.Decimal, which"),
    (uses_nested, "uses 'NESTED'['rows'][1], a datetime.timedelta"),
    (uses_module, "uses 'support', the module tests.support, which is not in the standard library"),
    (uses_nothing, "uses 'no_such_name', which is not defined"),
    (uses_loop, "contains itself"),
    (asynchronous, "an async function"),
    (next(unset()), "uses 'later', which has no value yet"),
    (Point().norm, "is a method"),
    (Point, "is a class"),
    (math.sqrt, "no Python function"),
    (functools.partial(helper, 1), "no Python function"),
    (functools.lru_cache(None)(helper), "put @sandbox next to the function"),
    (eval("lambda: 1"), "its source is not known"),
    (3, "is an int and no Python function"),
]


class RefusalTest(unittest.TestCase):
    def test_bad(self):
        for function, want in BAD:
            with self.subTest(want), self.assertRaises(iso.NotShippable) as caught:
                Shipment(function)
            self.assertIn(want, str(caught.exception))

    def test_it_says_whose_name_it_is(self):
        def outer():
            return uses_price()

        with self.assertRaisesRegex(iso.NotShippable, re.escape("test_ship.uses_price uses 'PRICE'")):
            Shipment(outer)


if __name__ == "__main__":
    unittest.main()
