"""Pipelines of cells: order, backpressure, failures and their stages."""

import threading
import unittest

from .support import NodeTestCase
import pyisolate as iso


def parse(line):
    return [int(word) for word in line.split()]


def each(numbers):
    for n in numbers:
        yield n


def double(n):
    return n * 2


def touchy(n):
    if n == 3:
        raise ValueError("three")
    return n


def slow(n):
    while True:
        pass


class PipelineTest(NodeTestCase):
    def test_stream(self):
        p = (
            iso.Pipeline()
            .stage("parse", parse)
            .stage("each", each, policy=iso.Policy())
            .stage("double", double)
        )
        self.assertEqual([s.name for s in p.stages], ["parse", "each", "double"])
        lines = [f"{n} {n + 1}" for n in range(0, 100, 2)]
        self.assertEqual(list(p.run(lines)), [2 * n for n in range(100)])
        self.assertEqual(p("7"), 14)
        self.assertEqual(list(p.run([])), [])
        self.assertEqual(iso.list_active(), {})

    def test_dotted_name(self):
        p = iso.Pipeline().stage("root", "math.sqrt", allowed_imports=["math"])
        self.assertEqual(list(p.run([4, 9])), [2.0, 3.0])

    def test_policies_are_the_stages_own(self):
        def importing(module):
            __import__(module)
            return module

        p = (
            iso.Pipeline()
            .stage("may", importing, policy=iso.Policy(iso.Import("json")))
            .stage("may-not", importing)
        )
        with self.assertRaises(iso.PolicyDenied) as caught:
            list(p.run(["json", "socket"]))
        self.assertEqual(caught.exception.stage, "may")
        self.assertIn("stage 'may':", str(caught.exception))

    def test_error(self):
        p = iso.Pipeline().stage("double", double).stage("touchy", touchy)
        got = []
        with self.assertRaises(iso.GuestError) as caught:
            for value in iso.Pipeline().stage("touchy", touchy).stage("double", double).run(range(10)):
                got.append(value)
        self.assertLessEqual(set(got), {0, 2, 4})
        self.assertEqual((caught.exception.stage, caught.exception.type), ("touchy", "ValueError"))
        self.assertIn('raise ValueError("three")', caught.exception.traceback)
        self.assertEqual(list(p.run([1, 2])), [2, 4], "a pipeline can run again")

    def test_error_of_the_values(self):
        def values():
            yield 1
            raise OSError("no more")

        with self.assertRaises(OSError):
            list(iso.Pipeline().stage("double", double).run(values()))

    def test_timeout(self):
        with self.assertRaises(iso.Timeout) as caught:
            list(iso.Pipeline().stage("slow", slow, timeout="200ms").run([1]))
        self.assertEqual(caught.exception.stage, "slow")

    def test_what_cannot_be_sent(self):
        with self.assertRaises(iso.NotShippable) as caught:
            list(iso.Pipeline().stage("bad", threading.Thread).run([1]))
        self.assertEqual(caught.exception.stage, "bad")

    def test_backpressure(self):
        """Who is fast waits: what is taken from the values is bounded."""
        taken = 0

        def values():
            nonlocal taken
            while True:
                taken += 1
                yield taken

        run = iso.Pipeline(capacity=2).stage("double", double).stage("again", double).run(values())
        self.assertEqual([next(run) for _ in range(20)], [4 * n for n in range(1, 21)])
        # Three queues of two, one value in each of two cells, and one in each thread's hand.
        self.assertLessEqual(taken, 20 + 3 * 2 + 2 + 3)
        run.close()
        self.assertEqual(iso.list_active(), {}, "leaving the iteration ends the cells")

    def test_bad(self):
        with self.assertRaises(iso.Invalid):
            iso.Pipeline().run([1])
        with self.assertRaises(iso.Invalid):
            iso.Pipeline(capacity=0)
        with self.assertRaises(iso.Invalid):
            iso.Pipeline().stage("a", double).stage("a", double)


if __name__ == "__main__":
    unittest.main()
