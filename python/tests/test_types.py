"""Types: every public function is annotated and documented; mypy --strict agrees where it is."""

import dataclasses
import importlib
import inspect
import os
import pkgutil
import shutil
import subprocess
import tempfile
import typing
import unittest

from . import support  # noqa: F401
import pyisolate

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MODULES = [importlib.import_module(f"pyisolate.{m.name}") for m in pkgutil.iter_modules(pyisolate.__path__)]


PROGRAM = """
import pyisolate as iso
from pyisolate import aio

@iso.sandbox(timeout="1s")
def one(x: int) -> int:
    return x

with iso.spawn("a", policy=iso.Policy(iso.Import("json"))) as cell:
    cell.exec("pass")
    for line in cell.logs():
        print(line.message if isinstance(line, iso.Log) else line)
    print(one(1) + "", cell.stats.cpu + 1)

async def main() -> None:
    async with aio.spawn() as cell:
        await cell.exec("pass")
    report = await cell.inspect()
    name: int = report.name
"""


def functions():
    """All functions of the package, with their names."""
    for module in [pyisolate, *MODULES]:
        for name, value in vars(module).items():
            if getattr(value, "__module__", "") != module.__name__:
                continue
            if inspect.isfunction(value):
                yield f"{module.__name__}.{name}", name, value
            elif inspect.isclass(value):
                for n, member in vars(value).items():
                    f = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
                    if inspect.isfunction(f) and not (dataclasses.is_dataclass(value) and n.startswith("__")):
                        yield f"{module.__name__}.{name}.{n}", n, f


class TypesTest(unittest.TestCase):
    def test_annotated(self):
        seen = 0
        for full, name, f in functions():
            seen += 1
            missing = [
                p
                for p in inspect.signature(f).parameters
                if p not in ("self", "cls") and p not in f.__annotations__
            ]
            self.assertFalse(missing, f"{full}: without types")
            self.assertIn("return", f.__annotations__, full)
            if not name.startswith("_") and not any(part.startswith("_") for part in full.split(".")[2:]):
                self.assertTrue(f.__doc__, f"{full}: without documentation")
        self.assertGreater(seen, 300)

    def test_marked(self):
        self.assertTrue(os.path.exists(os.path.join(ROOT, "pyisolate", "py.typed")))

    def test_all_errors_are_exported(self):
        for name in pyisolate.errors.__all__:
            self.assertTrue(hasattr(pyisolate, name), name)

    def test_all_that_is_public_is_exported(self):
        """Checkers of other programs see what __all__ names, and nothing else."""
        for module in (pyisolate, importlib.import_module("pyisolate.aio"), pyisolate.policy):
            self.assertEqual(sorted(set(module.__all__)), sorted(module.__all__), "twice, or not in order")
            for name, value in vars(module).items():
                own = getattr(value, "__module__", "").startswith("pyisolate")
                if module is not pyisolate:
                    own = getattr(value, "__module__", "") == module.__name__
                if own and not name.startswith("_") and not isinstance(value, typing.TypeVar):
                    self.assertIn(name, module.__all__, module.__name__)

    def test_a_program_that_uses_it_has_types(self):
        mypy = shutil.which("mypy")
        if mypy is None:
            self.skipTest("there is no mypy")
        with tempfile.TemporaryDirectory() as d:
            with open(os.path.join(d, "program.py"), "w", encoding="utf-8") as f:
                f.write(PROGRAM)
            env = {**os.environ, "MYPYPATH": ROOT}
            command = [mypy, "--strict", "--cache-dir", os.devnull, "program.py"]
            got = subprocess.run(
                command, cwd=d, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        self.assertEqual(got.stdout.count("error:"), 2, got.stdout)
        self.assertIn('program.py:13: error: Unsupported operand types for + ("int" and "str")', got.stdout)
        self.assertIn("program.py:19: error: Incompatible types in assignment", got.stdout)

    def test_mypy(self):
        mypy = shutil.which("mypy")
        if mypy is None:
            self.skipTest("there is no mypy")
        got = subprocess.run(
            [mypy, "--cache-dir", os.devnull],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.assertEqual(got.returncode, 0, got.stdout)


if __name__ == "__main__":
    unittest.main()
