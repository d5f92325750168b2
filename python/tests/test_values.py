"""Values of a real node's cells that are more than this program reads."""

import contextlib
import sys
import unittest

from .support import NodeTestCase
import pyisolate as iso


@contextlib.contextmanager
def digits(most):
    """This Python reads so many of an integer, if it has a bound; 0: all."""
    if not hasattr(sys, "set_int_max_str_digits"):
        yield
        return
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(most)
    try:
        yield
    finally:
        sys.set_int_max_str_digits(before)


class ValuesTest(NodeTestCase):
    def test_posts_that_cannot_be_read(self):
        """They are errors at their place, however many digits the program has Python read."""
        for own in (4300, 0):
            with self.subTest(own), digits(own), iso.spawn(allowed_imports=["sys"]) as sandbox:
                sandbox.exec(
                    "import sys; sys.set_int_max_str_digits(0)\ndef big(n): return -10**n\n"
                    "for value in 1, 10**5000, b'x', big(4300), big(4299): post(value)"
                )
                posts = sandbox.posts(5)  # all of them come at once
                self.assertEqual(next(posts), 1)
                with self.assertRaisesRegex(iso.GuestError, "an integer has 5001 digits; 4300 are the most"):
                    next(posts)
                self.assertEqual(sandbox.recv(5), b"x")
                with self.assertRaisesRegex(iso.GuestError, "an integer has 4301 digits"):
                    sandbox.recv(5)
                self.assertEqual(sandbox.recv(5), -(10**4299))
                with self.assertRaisesRegex(iso.GuestError, "an integer has 4301 digits"):
                    sandbox.call("big", 4300)
                self.assertEqual(sandbox.call("big", 4299), -(10**4299))

    def test_a_program_that_has_python_read_less(self):
        with iso.spawn() as sandbox, digits(640):
            sandbox.exec("post(10**640); post(2)")
            with self.assertRaises(iso.GuestError):
                sandbox.recv(5)
            self.assertEqual(sandbox.recv(5), 2)


if __name__ == "__main__":
    unittest.main()
