"""Sandboxes of a real node: what they do, and what they say when it goes wrong."""

import os
import sys
import threading
import time
import unittest
from unittest import mock

from .support import NodeTestCase, keeps_events
import pyisolate as iso
from pyisolate import _client


class SandboxTest(NodeTestCase):
    def test_quick_start(self):
        with iso.spawn("demo", allowed_imports=["math"]) as sandbox:
            self.assertEqual((sandbox.name, sandbox.tenant), ("demo", "default"))
            sandbox.exec("from math import sqrt; post(sqrt(2))")
            self.assertEqual(sandbox.recv(), 1.4142135623730951)
        self.assertEqual(iso.list_active(), {})

    def test_its_program_fails_and_it_cannot_be_killed(self):
        with mock.patch.object(iso.Sandbox, "kill", side_effect=iso.Limited("too many calls")):
            with self.assertRaises(KeyError), iso.spawn():
                raise KeyError
        self.assertEqual(iso.list_active(), {}, "it is closed")

    def test_values(self):
        with iso.spawn() as sandbox:
            sandbox.exec("def same(x): return x\ndef two(a, b=0, *, c=0): return [a, b, c]")
            for value in (
                None,
                True,
                0,
                -1.5,
                2**100,
                "ä\u2028\0",
                [1, [2]],
                {"a": {"b": None}},
                b"",
                bytes(range(256)),
            ):
                with self.subTest(repr(value)):
                    self.assertEqual(sandbox.call("same", value), value)
                    sandbox.post(value)
                    sandbox.exec("post(recv())")
                    self.assertEqual(sandbox.recv(timeout=5), value)
            self.assertEqual(sandbox.call("two", 1, c=3), [1, 0, 3])
            for bad in (float("nan"), {1, 2}, object(), "\ud800"):
                with self.subTest(repr(bad)), self.assertRaises((TypeError, ValueError)):
                    sandbox.call("same", bad)

    def test_what_a_guest_raises(self):
        with iso.spawn(allowed_imports=["math"]) as sandbox:
            with self.assertRaises(iso.GuestError) as caught:
                sandbox.exec("def f():\n    return {}['x']\nf()", file="prog.py")
            e = caught.exception
            self.assertEqual((e.kind, e.type, e.message), ("GuestError", "KeyError", "'x'"))
            self.assertIn("File \"prog.py\", line 2, in f\n    return {}['x']", e.traceback)
            with self.assertRaises(iso.PolicyDenied) as caught:
                sandbox.exec("import os")
            self.assertEqual(caught.exception.type, "ImportDenied")
            with self.assertRaises(iso.GuestError):
                sandbox.exec("def (")
            with self.assertRaises(iso.PyIsolateError):
                sandbox.call("no_such_thing")
            # What exec has raised is not raised again by recv.
            sandbox.exec("post('next')")
            self.assertEqual(sandbox.recv(timeout=5), "next")

    def test_what_a_guest_says_is_plain(self):
        """No guest writes to the terminal of whoever prints its error, or a line into a log."""
        with iso.spawn() as sandbox, self.assertRaises(iso.GuestError) as caught:
            sandbox.exec(r"raise ValueError('\x1b[2J\r\nINFO all is well\u202e')")
        e = caught.exception
        self.assertEqual(e.message, "\x1b[2J\r\nINFO all is well\u202e")
        self.assertEqual(str(e), "\\x1b[2J\\r\\nINFO all is well\\u202e")
        self.assertNotIn("\x1b", e.traceback)
        self.assertTrue(e.traceback.startswith("Traceback (most recent call last):\n"))

    def test_limits(self):
        with iso.spawn(
            memory="16MiB", cpu="5s", wall="300ms", output="1MiB", files=8, message="64KiB"
        ) as sandbox:
            with self.assertRaises(iso.MemoryExceeded) as caught:
                sandbox.exec("x = 'a' * 10**9")
            self.assertIsInstance(caught.exception, MemoryError)
            with self.assertRaises(iso.Invalid):
                sandbox.exec("#" * 70000)
            with self.assertRaises(iso.Timeout) as caught:
                sandbox.exec("while True: pass")
            self.assertIsInstance(caught.exception, TimeoutError)
        with self.assertRaises(iso.PolicyDenied) as caught:
            iso.spawn(memory="1GiB")
        self.assertIn("limit memory", str(caught.exception))

    def test_deadline(self):
        with iso.spawn() as sandbox:
            with self.assertRaises(iso.Timeout):
                sandbox.recv(timeout=0.1)
            with self.assertRaises(iso.Timeout):
                sandbox.recv(timeout=0)
            start = time.monotonic()
            with self.assertRaises(iso.Timeout):
                sandbox.exec("while True: pass", timeout="200ms")
            self.assertLess(time.monotonic() - start, 10)

    def test_large_values(self):
        value = "ä\n" * (1 << 20)
        with iso.spawn(policy=iso.Policy(mem="256MiB", message="16MiB")) as sandbox:
            sandbox.exec("def same(x): return x")
            self.assertEqual(sandbox.call("same", value), value)
            self.assertEqual(sandbox.call("same", value.encode()), value.encode())

    def test_posts(self):
        with iso.spawn() as sandbox:
            sandbox.exec("for i in range(100): post(i)")
            self.assertEqual(list(sandbox.posts(timeout=0.1)), list(range(100)))
            sandbox.exec("for i in range(5): post(i)")
            for first in sandbox.posts(timeout=1):
                break
            self.assertEqual(
                (first, sandbox.recv(), sandbox.recv()), (0, 1, 2), "what an iteration leaves is not lost"
            )

    def test_whose_error_it_is(self):
        """recv raises what execs of others have failed with, and nothing that the program knows."""
        with iso.spawn("shared") as mine:
            other = iso.attach("shared")
            for n in range(70):
                with self.assertRaises(iso.GuestError):
                    mine.exec(f"raise ValueError({n})")
            mine.exec("post('posted')")
            self.assertEqual(mine.recv(timeout=5), "posted")
            for sandbox in (mine, other):  # the same words, from two programs
                with self.assertRaises(iso.GuestError):
                    sandbox.exec("raise ValueError('same')")
            with self.assertRaises(iso.GuestError) as caught:
                mine.recv(timeout=5)
            self.assertEqual(caught.exception.message, "same")
            with self.assertRaises(iso.Timeout):
                mine.recv(timeout=0)
            with self.assertRaises(iso.Invalid):
                mine.exec("#" * (2 << 20))  # which never runs, and has no item

    def test_many_receivers(self):
        got, failed = [], []

        def receive():
            try:
                while True:
                    got.append(sandbox.recv(timeout=1))
            except iso.Timeout:
                pass
            except BaseException as error:
                failed.append(error)

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            with iso.spawn() as sandbox:
                threads = [threading.Thread(target=receive) for _ in range(8)]
                for t in threads:
                    t.start()
                sandbox.exec("for i in range(2000): post(i)")
                for t in threads:
                    t.join()
        finally:
            sys.setswitchinterval(interval)
        self.assertEqual((failed, sorted(got)), ([], list(range(2000))))

    def test_iteration_ends_with_the_cell(self):
        sandbox = iso.spawn()
        sandbox.exec("post(1); post(2)")
        sandbox.kill("enough")
        self.assertEqual(list(sandbox), [1, 2])
        with self.assertRaises(iso.CellGone) as caught:
            sandbox.exec("pass")
        self.assertIn("enough", str(caught.exception))
        sandbox.close()
        sandbox.close()
        with self.assertRaises(iso.NotFound):
            sandbox.inspect()

    def test_logs(self):
        with iso.spawn() as sandbox:
            sandbox.exec("print('hello'); log('info', 'order', item='tea'); metric('orders', 2, {'a': 'b'})")
            try:
                sandbox.exec("open('/etc/passwd')")
            except iso.PolicyDenied:
                pass
            said = list(sandbox.logs())
            logs = [(x.level, x.message, x.fields) for x in said if isinstance(x, iso.Log)]
            self.assertEqual(logs, [("stdout", "hello", ""), ("info", "order", '{"item":"tea"}')])
            metric = next(x for x in said if isinstance(x, iso.Metric))
            self.assertEqual((metric.name, metric.value, dict(metric.tags)), ("orders", 2.0, {"a": "b"}))
            denial = next(x for x in said if isinstance(x, iso.Denial))
            self.assertEqual((denial.capability, denial.action), ("fs", "open /etc/passwd"))

    def test_logs_that_follow(self):
        with iso.spawn() as sandbox, sandbox.logs(follow=True) as logs:
            sandbox.exec("print('one')")
            self.assertEqual(logs.next(5).message, "one")
            with self.assertRaises(iso.Timeout):
                logs.next(0.05)
            sandbox.exec("print('two')")
            self.assertEqual(logs.next(5).message, "two")
            sandbox.kill()
            self.assertIsNone(logs.next(5))

    def test_reports(self):
        with iso.spawn("r", backend="process") as sandbox:
            sandbox.exec("post(1)")
            report = sandbox.stats
            self.assertEqual(
                (report.name, report.backend, report.state, report.posts), ("r", "process", "running", 1)
            )
            self.assertGreater(report.cpu, 0)
            self.assertTrue(report.layers)
            self.assertEqual(iso.stats().states["running"], 1)
            self.assertEqual(iso.attach("r").inspect().id, report.id)
            self.assertIs(iso.list_active()["r"], sandbox)
        with self.assertRaises(iso.NotFound):
            iso.attach("r")

    def test_ended_again(self):
        """As close, kill is no error when the cell has ended before, however it has."""
        for first in ("close", "kill"):
            for second in ("close", "kill"):
                with self.subTest(first=first, second=second):
                    sandbox = iso.spawn()
                    getattr(sandbox, first)()
                    getattr(sandbox, second)()
                    sandbox.close()
                    sandbox.kill()

    def test_a_cell_is_not_the_next_of_its_name(self):
        old = iso.spawn("job")
        old.close()
        with iso.spawn("job") as new:
            new.exec("x = 'mine'")
            for do in (
                old.quarantine,
                old.inspect,
                lambda: old.exec("x = 'theirs'"),
                lambda: old.post(1),
            ):
                with self.assertRaises(iso.CellGone) as caught:
                    do()
                self.assertIn("another has its name", str(caught.exception))
            self.assertEqual(list(old), [])
            old.kill()
            old.close()
            self.assertIs(iso.list_active()["job"], new)
            new.exec("post(x)")
            self.assertEqual(new.recv(timeout=5), "mine")

    def test_bad_spawns(self):
        for options in (
            {"memory": "1 MB"},
            {"cpu": "soon"},
            {"wall": -1},
            {"allowed_imports": "math"},
            {"policy": "p@x"},
            {"memory": True},
            {"allowed_imports": []},
            {"allowed_imports": (), "policy": iso.Policy(iso.Import("socket"))},
            {"memory": 0},
            {"cpu": 0.0},
            {"cpu": 1e-10},
            {"policy": ""},
            {"wall": "0s"},
            {"output": "0B"},
            {"files": 0},
            {"files": -1},
            {"message": 0},
            {"restarts": -1},
        ):
            with self.subTest(options), self.assertRaises(iso.Invalid):
                iso.spawn(**options)
        with self.assertRaises(iso.Invalid):
            iso.spawn("no/name")
        with self.assertRaises(iso.NotFound):
            iso.spawn(policy="no-such-policy")
        with iso.spawn("twice"), self.assertRaises(iso.Invalid):
            iso.spawn("twice")

    def test_bad_execs(self):
        with iso.spawn() as sandbox:
            for code, args, want in (
                (None, (), "code is a text, and not a NoneType"),
                (b"1", (), "code is a text, and not a bytes"),
                ("1", "--flag", "args is a list of texts"),
                ("1", ["a", 1], "args is a list of texts"),
            ):
                with self.subTest(want), self.assertRaisesRegex(iso.Invalid, want):
                    sandbox.exec(code, args=args)
        with self.assertRaisesRegex(iso.Invalid, "policy is a Policy, or the name of .*, and not a dict"):
            iso.spawn(policy={"net": []})

    def test_an_error_in_the_program_kills_the_cell(self):
        with self.assertRaises(ZeroDivisionError):
            with iso.spawn("doomed") as sandbox:
                sandbox.post(1)
                1 / 0
        self.assertEqual(iso.list_active(), {})

    def test_quarantine(self):
        with iso.spawn() as sandbox:
            sandbox.exec("post('before')")
            sandbox.quarantine("suspicious")
            with self.assertRaises(iso.PyIsolateError):
                sandbox.exec("post('after')")
            self.assertEqual(sandbox.recv(timeout=5), "before")
            self.assertEqual(sandbox.stats.state, "quarantined")

    def test_topics(self):
        with iso.spawn(topics=["news"]) as sandbox:
            self.assertEqual(iso.publish("news", {"n": 1}), 1)
            self.assertEqual(iso.publish("silence", 1), 0)
            sandbox.exec("post(recv(timeout=5))")
            self.assertEqual(sandbox.recv(timeout=5), {"n": 1})

    def test_events(self):
        if not keeps_events():
            self.skipTest("this node keeps no events")
        with iso.spawn("watched") as sandbox:
            with self.assertRaises(iso.PolicyDenied):
                sandbox.exec("import os")
            with sandbox.events(follow=True) as events:
                kinds = {events.next(5).kind for _ in range(2)}
            self.assertEqual(kinds, {"CELL_STARTED", "DENIED"})
        with iso.events(kinds=["CELL_ENDED"], cell="watched") as events:
            self.assertEqual(events.next(5).cell, "watched")

    def test_nodes(self):
        node = iso.nodes()[0]
        self.assertEqual((node.state, node.cpus), ("ready", os.cpu_count()))

    def test_not_there_yet(self):
        with iso.spawn() as sandbox:
            with self.assertRaises(iso.Unimplemented) as caught:
                iso.migrate(sandbox, "n")
            self.assertIsInstance(caught.exception, NotImplementedError)

    def test_threads(self):
        """One cell, many threads: every call has its own answer."""
        with iso.spawn() as sandbox:
            sandbox.exec("def f(x): return x * x")
            got = {}

            def work(n):
                for i in range(n, 200, 8):
                    got[i] = sandbox.call("f", i)

            threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(got, {i: i * i for i in range(200)})

    def test_fork(self):
        """A child calls on connections of its own, and does not end its parent's node."""
        with iso.spawn() as sandbox:
            sandbox.exec("def f(x): return x")
            children = []
            for n in range(4):
                pid = os.fork()
                if pid == 0:
                    status = 1
                    try:
                        status = 0 if all(sandbox.call("f", [n, i]) == [n, i] for i in range(50)) else 2
                    finally:
                        _client.set_default(None)
                        os._exit(status)
                children.append(pid)
            for i in range(50):
                self.assertEqual(sandbox.call("f", i), i)
            for pid in children:
                self.assertEqual(os.waitpid(pid, 0)[1], 0)
            self.assertEqual(sandbox.call("f", "still here"), "still here")

    def test_interrupt(self):
        """Ctrl-C ends what the guest does."""
        import signal

        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # who starts us may ignore it
        self.addCleanup(signal.signal, signal.SIGINT, before)
        with iso.spawn() as sandbox:
            timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            with self.assertRaises(KeyboardInterrupt):
                sandbox.exec("while True: pass")
            timer.join()
            try:
                sandbox.exec("post('free again')", timeout=5)
                self.assertEqual(sandbox.recv(timeout=5), "free again")
            except iso.CellGone as error:  # on a machine with much else to do
                self.assertIn("did not stop within", str(error))


if __name__ == "__main__":
    unittest.main()
