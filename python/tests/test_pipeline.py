"""Pipelines of cells: order, backpressure, failures and their stages."""

import itertools
import threading
import unittest
from unittest import mock

from .support import NodeTestCase, keeps_events
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

    def test_cells_that_cannot_be_killed(self):
        with mock.patch.object(iso.Sandbox, "kill", side_effect=iso.Limited("too many calls")):
            results = iso.Pipeline().stage("double", double).run(itertools.count())
            self.assertEqual(next(results), 0)
            results.close()
        self.assertEqual(iso.list_active(), {}, "they are closed")

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

    def test_a_generator_is_asked_when_there_is_room(self):
        def count(first):
            n = first
            while True:
                metric("yielded", n)  # noqa: F821  # of the guest
                yield n
                n += 1

        run = iso.Pipeline(capacity=2).stage("count", count).stage("double", double).run([5])
        self.assertEqual(list(itertools.islice(run, 20)), [2 * n for n in range(5, 25)])
        run = iso.Pipeline(capacity=2).stage("count", count, timeout="20s").run([0])
        self.assertEqual(next(run), 0)
        (cell,) = iso.list_active().values()
        # One was taken, two wait in the queue, and one in the thread's hand.
        yielded = [m.value for m in cell.logs() if isinstance(m, iso.Metric)]
        self.assertLessEqual(len(yielded), 4)
        run.close()

    def test_a_generator_may_yield_much(self):
        def much(n):
            for i in range(n):
                yield "x" * 300_000
            yield b"bytes"
            yield []
            yield None

        got = list(iso.Pipeline().stage("much", much, output="8MiB").run([10, 0]))
        self.assertEqual([len(x) for x in got[:10]], [300_000] * 10)
        self.assertEqual(got[10:], [b"bytes", [], None] * 2)

    def test_a_generator_that_fails(self):
        def some(n):
            yield 1
            raise KeyError(n)

        got = []
        with self.assertRaises(iso.GuestError) as caught:
            for value in iso.Pipeline().stage("some", some).run([7]):
                got.append(value)
        self.assertEqual((caught.exception.stage, caught.exception.type), ("some", "KeyError"))
        self.assertIn("raise KeyError(n)", caught.exception.traceback)

    def test_a_run_that_ends_well_kills_nothing(self):
        if not keeps_events():
            self.skipTest("this node keeps no events")
        with iso.events(follow=False) as events:
            last = max((e.index for e in events if isinstance(e, iso.Event)), default=0)
        for _ in range(10):
            self.assertEqual(list(iso.Pipeline().stage("double", double).run([1])), [2])
        with iso.events(follow=False, after=last, kinds=["CELL_ENDED"]) as events:
            ends = [e.message for e in events if isinstance(e, iso.Event)]
        self.assertEqual([m for m in ends if "pipeline" in m], [])
        self.assertEqual(len(ends), 10)

    def test_bad(self):
        with self.assertRaises(iso.Invalid):
            iso.Pipeline().run([1])
        with self.assertRaises(iso.Invalid):
            iso.Pipeline(capacity=0)
        with self.assertRaises(iso.Invalid):
            iso.Pipeline().stage("a", double).stage("a", double)


if __name__ == "__main__":
    unittest.main()
