"""Functions that are decorated to run in cells: their calls, arguments, policies and failures."""

import functools
import inspect
import math
import os.path
import tempfile
import unittest

from .support import NodeTestCase
import pyisolate as iso
from pyisolate import aio

COUNT = 0


@iso.sandbox(allowed_imports=["math"], timeout="30s")
def hypotenuse(a, b=4):
    """The long side."""
    return math.sqrt(a * a + b * b)


@iso.sandbox
def recursive(n):
    return 0 if n == 0 else 1 + recursive(n - 1)


@iso.sandbox(timeout=0.5)
def endless():
    while True:
        pass


@iso.sandbox(memory="16MiB")
def hungry():
    return len("a" * 10**9)


@iso.sandbox()
def imports():
    import os

    return os.getpid()


@iso.sandbox()
def twice(data):
    return data * 2


@iso.sandbox()
def unsendable():
    return {1, 2}


@iso.sandbox
def with_a_class(n):
    class Shape:
        sides: int = 3
        more = sides + n
        scale = COUNT
        size: sides = [sides]

        class Inner:
            deep = 1
            deeper = deep + 1

        def area(self):
            return self.more * HALF

    HALF = 0.5
    return [Shape().area(), Shape.scale, Shape.Inner.deeper]


class DecoratorTest(NodeTestCase):
    def test_a_class_inside(self):
        self.assertEqual(with_a_class(1), [2.0, 0, 2])

    def test_files_of_one_name(self):
        """A traceback has the lines of the file that they are of."""
        functions = []
        with tempfile.TemporaryDirectory() as directory:
            for n, text in enumerate(
                ("def inner(x):\n    return x[0]\n", "def outer(x):\n    return inner(x)\n")
            ):
                path = os.path.join(directory, str(n), "same.py")
                os.mkdir(os.path.dirname(path))
                with open(path, "w", encoding="utf-8") as f:
                    f.write(text)
                space = {"__name__": "same"}
                exec(compile(text, path, "exec"), space)
                functions.append(space)
            functions[1]["inner"] = functions[0]["inner"]
            with self.assertRaises(iso.GuestError) as caught:
                iso.sandbox(functions[1]["outer"])([])
        trace = caught.exception.traceback
        self.assertIn('File "same.py", line 2, in outer\n    return inner(x)\n', trace)
        self.assertIn('File "0/same.py", line 2, in inner\n    return x[0]\n', trace)
        self.assertNotIn(directory, trace)

    def test_calls(self):
        self.assertEqual((hypotenuse(3), hypotenuse(5, b=12), hypotenuse.local(3)), (5.0, 13.0, 5.0))
        self.assertEqual((hypotenuse.__name__, hypotenuse.__doc__), ("hypotenuse", "The long side."))
        self.assertEqual(recursive(3), 3)
        self.assertEqual(twice(b"ab"), b"abab")
        self.assertEqual(iso.list_active(), {}, "a call leaves no cell")

    def test_arguments_of_any_name(self):
        @iso.sandbox(timeout="20s")
        def fetch(self, target="t", timeout=3):
            return [self, target, timeout]

        self.assertEqual(fetch(1, timeout=5), [1, "t", 5])
        self.assertEqual(fetch(self=1, target=2), [1, 2, 3])
        with iso.spawn() as cell:
            cell.exec("def of(self, target): return [self, target]")
            self.assertEqual(cell.call("of", self=1, target=2), [1, 2])

    def test_failures(self):
        for function, kind, text in (
            (endless, iso.Timeout, ""),
            (hungry, iso.MemoryExceeded, ""),
            (imports, iso.PolicyDenied, "import: os"),
            (unsendable, iso.GuestError, "set is not JSON"),
        ):
            with self.subTest(function.__name__), self.assertRaises(kind) as caught:
                function()
            self.assertIn(text, str(caught.exception))
        with self.assertRaises(TypeError):
            twice(object())
        with self.assertRaises(iso.GuestError) as caught:
            hypotenuse("x")
        self.assertIn("return math.sqrt(a * a + b * b)", caught.exception.traceback)
        self.assertEqual(iso.list_active(), {}, "nor does one that fails")

    def test_a_sandboxed_function_in_another_sandbox(self):
        """The policy, timeout and options are the outer one's."""

        @iso.sandbox(allowed_imports=["os"], timeout="30s")
        def wide():
            import os

            return os.sep

        self.assertEqual(wide(), "/")
        narrow = iso.sandbox(policy=iso.Policy(), timeout="20s")(wide)
        self.assertEqual((narrow.timeout, narrow.__name__, narrow.local), (20.0, "wide", wide))
        with self.assertRaises(iso.PolicyDenied):
            narrow()

    def test_what_cannot_be_sent_is_known_at_once(self):
        async def awaited():
            return 1

        async def yields():
            yield 1

        class Shape:
            def area(self, scale=1):
                return scale

            def of(cls, scale):
                return scale

            @staticmethod
            def scaled(scale):
                return scale

        for function, text in (
            (math.sqrt, "no Python function"),
            (awaited, "awaited: an async function cannot be called in a cell; make it an ordinary one"),
            (yields, "yields: an async function cannot be called in a cell"),
            (Shape.area, "Shape.area is a method, whose object cannot be sent to a cell; make it a function"),
            (Shape.of, "Shape.of is a method"),
            (Shape().area, "Shape.area is a method"),
            (vars(Shape)["scaled"], "put @sandbox next to the function, below @staticmethod"),
        ):
            for sandbox in (iso.sandbox, iso.sandbox(), aio.sandbox, aio.sandbox(timeout=1)):
                with self.subTest(text), self.assertRaises(iso.NotShippable) as caught:
                    sandbox(function)
                self.assertIn(text, str(caught.exception))

    def test_bad_options_are_known_at_once(self):
        for options, kind, want in (
            ({"memery": "1GiB"}, TypeError, "memery"),
            ({"memory": "lots"}, iso.Invalid, "memory 'lots'"),
            ({"allowed_imports": "math"}, iso.Invalid, "lists of names"),
            ({"policy": 5}, iso.Invalid, "policy is a Policy"),
        ):
            for sandbox in (iso.sandbox, aio.sandbox):
                with self.subTest(want), self.assertRaisesRegex(kind, want):
                    sandbox(**options)(hypotenuse.local)
        named = iso.sandbox(name="always", tenant="default", client=self.client)(hypotenuse.local)
        self.assertEqual(named.policy, None)

    def test_a_static_method(self):
        class Shape:
            @staticmethod
            @iso.sandbox
            def double(x):
                return 2 * x

            @iso.sandbox
            def treble(x):
                return 3 * x

        self.assertEqual((Shape.double(2), Shape().double(2), Shape.treble(1)), (4, 4, 3))

    def test_it_looks_like_its_function(self):
        for sandboxed in (iso.sandbox(hypotenuse.local), aio.sandbox(hypotenuse.local), aio.sandbox(hypotenuse)):
            with self.subTest(repr(sandboxed)):
                self.assertEqual(inspect.signature(sandboxed), inspect.signature(hypotenuse.local))
                for name in functools.WRAPPER_ASSIGNMENTS:
                    self.assertEqual(getattr(sandboxed, name, ()), getattr(hypotenuse.local, name, ()), name)
        self.assertIn("hypotenuse", repr(aio.sandbox(hypotenuse.local)))


if __name__ == "__main__":
    unittest.main()
