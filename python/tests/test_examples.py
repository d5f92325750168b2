"""The examples run as they are, and print what they say."""

import glob
import os
import subprocess
import sys
import unittest

from . import support  # noqa: F401
from pyisolate import _node

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class ExamplesTest(unittest.TestCase):
    def test_examples(self):
        files = [
            os.path.join(TREE, "examples", "quickstart.py"),
            *sorted(glob.glob(os.path.join(TREE, "examples", "python", "*.py"))),
        ]
        if not os.path.exists(files[0]):
            self.skipTest("the examples are not here")
        self.assertGreater(len(files), 6)
        env = {**os.environ, "PYISOLATE_NODE": _node.find()}
        env.pop("PYTHONPATH", None)
        for file in files:
            with self.subTest(os.path.basename(file)):
                with open(file, encoding="utf-8") as f:
                    want = [line[2:] for line in f.read().partition("\n# Output:\n")[2].splitlines()]
                self.assertTrue(want, "it does not say what it prints")
                got = subprocess.run(
                    [sys.executable, file],
                    env=env,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    timeout=120,
                )
                self.assertEqual((got.returncode, got.stderr), (0, ""))
                self.assertEqual(got.stdout.splitlines(), want)


if __name__ == "__main__":
    unittest.main()
