"""The wheel and the source distribution, and their installation without an index."""

import base64
import hashlib
import importlib.util
import os
import subprocess
import sys
import tarfile
import tempfile
import unittest
import zipfile

from . import support  # noqa: F401
import pyisolate

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def backend():
    spec = importlib.util.spec_from_file_location(
        "pyisolate_build", os.path.join(ROOT, "backend", "pyisolate_build.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class BuildTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.dir = directory.name

    def test_wheel(self):
        name = backend().build_wheel(self.dir)
        self.assertEqual(name, f"pyisolate-{pyisolate.__version__}-py3-none-any.whl")
        with zipfile.ZipFile(os.path.join(self.dir, name)) as z:
            names = z.namelist()
            for want in (
                "pyisolate/__init__.py",
                "pyisolate/py.typed",
                f"pyisolate-{pyisolate.__version__}.dist-info/LICENSE",
            ):
                self.assertIn(want, names)
            self.assertFalse(
                [n for n in names if "test" in n or "__pycache__" in n or n.startswith("backend")]
            )
            record = next(n for n in names if n.endswith("/RECORD"))
            lines = dict(line.split(",", 1) for line in z.read(record).decode().splitlines())
            self.assertEqual(sorted(lines), sorted(names))
            for n in names:
                if n != record:
                    digest = (
                        base64.urlsafe_b64encode(hashlib.sha256(z.read(n)).digest()).rstrip(b"=").decode()
                    )
                    self.assertEqual(lines[n], f"sha256={digest},{len(z.read(n))}")
            self.assertIn(b"Requires-Python: >=3.9\n", z.read(record.replace("RECORD", "METADATA")))

    def test_the_same_tree_gives_the_same_bytes(self):
        for build in ("build_wheel", "build_sdist"):
            got = []
            for n in "ab":
                os.makedirs(os.path.join(self.dir, build, n))
                name = getattr(backend(), build)(os.path.join(self.dir, build, n))
                with open(os.path.join(self.dir, build, n, name), "rb") as f:
                    got.append(f.read())
            self.assertEqual(got[0], got[1])

    def test_a_wheel_of_the_source_distribution(self):
        name = backend().build_sdist(self.dir)
        with tarfile.open(os.path.join(self.dir, name)) as t:
            t.extractall(self.dir, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
        tree = os.path.join(self.dir, name[: -len(".tar.gz")])
        code = "import sys; sys.path.insert(0, 'backend'); import pyisolate_build; print(pyisolate_build.build_wheel('.'))"
        wheel = subprocess.run(
            [sys.executable, "-c", code], cwd=tree, check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()
        os.makedirs(os.path.join(self.dir, "direct"))
        backend().build_wheel(os.path.join(self.dir, "direct"))
        with open(os.path.join(tree, wheel), "rb") as a, open(
            os.path.join(self.dir, "direct", wheel), "rb"
        ) as b:
            self.assertEqual(a.read(), b.read())

    def test_pip(self):
        """What people type, in a new environment, with no index."""
        made = subprocess.run(
            [sys.executable, "-m", "venv", os.path.join(self.dir, "v")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if made.returncode != 0:
            self.skipTest(f"no environment can be made: {made.stdout.strip()[-200:]}")
        python = os.path.join(self.dir, "v", "bin", "python")
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
        subprocess.run(
            [python, "-m", "pip", "install", "-q", "--no-index", "--disable-pip-version-check", ROOT],
            check=True,
            env=env,
        )
        code = "import pyisolate, sys; print(pyisolate.__file__); print(pyisolate.__version__)"
        got = subprocess.run(
            [python, "-I", "-c", code], check=True, stdout=subprocess.PIPE, text=True, cwd=self.dir
        ).stdout.split()
        self.assertTrue(got[0].startswith(self.dir), got)
        self.assertEqual(got[1], pyisolate.__version__)


if __name__ == "__main__":
    unittest.main()
