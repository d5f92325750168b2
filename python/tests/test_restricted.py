"""The restricted dialect: what it refuses, and who owns what."""

import unittest

from .support import NodeTestCase
import pyisolate as iso


class RestrictedTest(NodeTestCase):
    def test_ownership(self):
        with iso.RestrictedExec() as cell:
            cell.exec("a = [1, 2]\nb = move(a)\npost(sum(b))")
            self.assertEqual(cell.recv(timeout=5), 3)
            with self.assertRaises(iso.OwnershipError) as caught:
                cell.exec("c = b")
            self.assertIn("one owner", str(caught.exception))
            with self.assertRaises(iso.GuestError) as caught:
                cell.exec("import os")
            self.assertEqual(caught.exception.type, "SyntaxError")


if __name__ == "__main__":
    unittest.main()
