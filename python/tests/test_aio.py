"""The asyncio SDK with a real node."""

import asyncio
import gc
import socket
import sys
import threading
import time
import unittest
import warnings
import weakref
from unittest import mock

from .support import Liar, NodeTestCase, keeps_events, ok, read_request
import pyisolate as iso
from pyisolate import _aclient, _calls, aio


def run(coroutine):
    async def bounded():
        return await asyncio.wait_for(coroutine, 60)

    return asyncio.run(bounded())


class AsyncTest(NodeTestCase):
    def test_quick_start(self):
        async def main():
            async with aio.spawn("demo", allowed_imports=["math"]) as sandbox:
                await sandbox.exec("from math import sqrt; post(sqrt(2))")
                return await sandbox.recv()

        self.assertEqual(run(main()), 1.4142135623730951)
        self.assertEqual(iso.list_active(), {})

    def test_its_program_fails_and_it_cannot_be_killed(self):
        async def main():
            async with aio.spawn():
                raise KeyError

        with mock.patch.object(aio.Sandbox, "kill", side_effect=iso.Limited("too many calls")):
            with self.assertRaises(KeyError):
                run(main())
        self.assertEqual(iso.list_active(), {}, "it is closed")

    def test_all_at_once(self):
        async def one(n):
            async with aio.spawn() as sandbox:
                await sandbox.exec("def f(x): return x + 1")
                return await sandbox.call("f", n)

        async def main():
            return await asyncio.gather(*(one(n) for n in range(20)))

        self.assertEqual(run(main()), list(range(1, 21)))

    def test_cancelled(self):
        async def main():
            async with aio.spawn() as sandbox:
                task = asyncio.create_task(sandbox.exec("log('info', 'begun')\nwhile True: pass"))
                async for _ in sandbox.logs(follow=True):
                    break  # it runs
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                try:
                    await sandbox.exec("post('free again')", timeout=10)
                    return await sandbox.recv(5)
                except iso.CellGone as error:  # on a machine with much else to do
                    self.assertIn("did not stop within", str(error))
                    return "free again"

        self.assertEqual(run(main()), "free again")

    def test_closed_at_once(self):
        async def main():
            for timeout in (0, 0.01):
                sandbox = await aio.spawn("job")
                going = asyncio.create_task(sandbox.exec("log('info', 'begun')\nwhile True: pass"))
                async for _ in sandbox.logs(follow=True):
                    break  # it runs
                await sandbox.close(timeout)
                with self.assertRaises(iso.CellGone):
                    await going
                await sandbox.close(0)  # it has ended before

        run(main())

    def test_errors(self):
        async def main():
            async with aio.spawn() as sandbox:
                with self.assertRaises(iso.GuestError):
                    await sandbox.exec("1/0")
                with self.assertRaises(iso.Timeout):
                    await sandbox.recv(0.05)
                await sandbox.exec("def f(): return 7")
                kept = await sandbox.checkpoint()
                self.assertEqual((kept.name, kept.tenant), (sandbox.name, sandbox.tenant))
                again = await aio.checkpoint(sandbox)
                self.assertEqual([c.id for c in await sandbox.checkpoints()], [again.id, kept.id])
                async with aio.restore(kept, "other") as other:
                    self.assertEqual((other.name, await other.call("f")), ("other", 7))
                for one in (kept, again.id):
                    await aio.delete_checkpoint(one)
                self.assertEqual(await aio.checkpoints(sandbox.name), [])
                with self.assertRaises(iso.Unimplemented):
                    async for _ in sandbox.migrate("n"):
                        pass
                start = time.monotonic()
                with self.assertRaises(iso.Timeout):
                    await sandbox.exec("while True: pass", timeout="200ms")
                self.assertLess(time.monotonic() - start, 10)

        run(main())

    def test_posts_and_logs(self):
        async def main():
            async with aio.spawn(topics=["t"]) as sandbox:
                await sandbox.exec("for i in range(50): post(i)\nprint('hi')")
                self.assertEqual([x async for x in sandbox.posts(timeout=0.1)], list(range(50)))
                self.assertEqual([x.message async for x in sandbox.logs()], ["hi"])
                async with sandbox.logs(follow=True) as logs:
                    self.assertEqual((await logs.next(5)).message, "hi")
                    with self.assertRaises(iso.Timeout):
                        await logs.next(0.05)
                    await sandbox.exec("print('ho')")
                    self.assertEqual((await logs.next(5)).message, "ho")
                await sandbox.post(b"x")
                self.assertEqual(await aio.publish("t", 1), 1)
                await sandbox.exec("post([recv().decode(), recv()])")
                self.assertEqual(await sandbox.recv(5), ["x", 1])
                self.assertEqual((await sandbox.stats()).posts, 51)
                self.assertEqual(list(await aio.list_active()), [sandbox.name])
                self.assertEqual((await aio.attach(sandbox.name)).name, sandbox.name)
                self.assertEqual((await aio.stats()).states["running"], 1)
                self.assertGreater((await aio.nodes())[0].max_cells, 0)
                await sandbox.kill("enough")
                self.assertEqual([x async for x in sandbox], [])

        run(main())

    def test_ended_again(self):
        async def main():
            for end in ("close", "kill"):
                sandbox = await aio.spawn()
                await getattr(sandbox, end)()
                await sandbox.close()
                await sandbox.kill("again")

        run(main())
        self.assertEqual(iso.list_active(), {})

    def test_events(self):
        async def main():
            async with aio.spawn() as sandbox:
                async for event in aio.events(cell=sandbox.name):
                    return event.kind

        if not keeps_events():
            self.skipTest("this node keeps no events")
        self.assertEqual(run(main()), "CELL_STARTED")

    def test_sandboxed_function(self):
        @aio.sandbox(timeout="20s", allowed_imports=["math"])
        def root(x):
            import math

            return math.sqrt(x)

        async def main():
            self.assertEqual(await asyncio.gather(root(4), root(9)), [2.0, 3.0])
            with self.assertRaises(iso.GuestError) as caught:
                await root(-1)
            self.assertIn("return math.sqrt(x)", caught.exception.traceback)

        run(main())

    def test_arguments_of_any_name(self):
        @aio.sandbox(timeout="20s")
        def fetch(self, target="t", timeout=3):
            return [self, target, timeout]

        async def main():
            self.assertEqual(await fetch(1, timeout=5), [1, "t", 5])
            self.assertEqual(await fetch(self=1, target=2), [1, 2, 3])
            async with aio.spawn() as cell:
                await cell.exec("def of(self, target): return [self, target]")
                self.assertEqual(await cell.call("of", self=1, target=2), [1, 2])

        run(main())

    def test_two_loops(self):
        async def main():
            async with aio.spawn() as sandbox:
                await sandbox.exec("pass")

        run(main())
        run(main())

    def test_loops_that_have_ended(self):
        loops = weakref.WeakSet()

        async def main():
            loops.add(asyncio.get_running_loop())
            self.assertGreater(len(await aio.nodes()), 0)

        for _ in range(3):
            run(main())
        gc.collect()
        self.assertEqual((len(loops), len(_aclient._defaults)), (0, 0), "they are kept")

    def test_loops_that_are_closed_as_they_are(self):
        """By a program that has no asyncio.run and does not shut their generators down."""
        clients = weakref.WeakSet()

        async def main():
            await aio.nodes()
            clients.add(await _aclient.default())

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # as asyncio says of it
            for _ in range(5):
                loop = asyncio.new_event_loop()
                loop.run_until_complete(main())
                loop.close()
                del loop
            gc.collect()
            self.assertLessEqual(len(clients), 1, "they are kept, with their connections")
            run(main())
            gc.collect()
        self.assertEqual((len(clients), len(_aclient._defaults)), (0, 0))

    def test_a_stream_that_outlives_its_loop(self):
        async def main():
            async with aio.spawn() as sandbox:
                streams = [sandbox.logs(follow=True) for _ in range(2)]
                await sandbox.exec("print(1)")
                for stream in streams:
                    await stream.next(5)
                return streams

        with mock.patch.object(sys, "unraisablehook") as said, warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            streams = run(main())
            streams.pop().close()
            del streams
            gc.collect()
        said.assert_not_called()

    def test_another_default(self):
        """A sandbox lives on when another node becomes the one that is meant."""

        async def main():
            async with aio.spawn() as old:
                iso.set_default(supervisor.client)
                async with aio.spawn() as new:
                    for sandbox in (old, new):
                        gc.collect()
                        await asyncio.sleep(0)
                        await sandbox.exec("post(1)")
                        self.assertEqual(await sandbox.recv(5), 1)

        with iso.Supervisor() as supervisor:
            try:
                run(main())
            finally:
                iso.set_default(self.client)

    def test_a_connection_that_is_not_made(self):
        """The time of a call is also that of its connection: one that accepts and says nothing ends with it."""

        async def main(port):
            async with aio.Client(f"https://127.0.0.1:{port}", "token") as client:
                with self.assertRaisesRegex(iso.Unavailable, "no connection in time"):
                    await asyncio.wait_for(aio.spawn(timeout="100ms", client=client)._start(), 20)

        with socket.create_server(("127.0.0.1", 0)) as listener, mock.patch.object(_aclient, "_CONNECT", 600.0):
            run(main(listener.getsockname()[1]))

    def test_what_nobody_asked_for(self):
        """What comes on an idle connection is not the next answer."""
        timed_out = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        answered, said = threading.Event(), threading.Event()

        def act(c):
            if read_request(c):
                c.sendall(ok(b"{}"))
                if not said.is_set():
                    answered.wait(5)
                    c.sendall(timed_out)
                    said.set()
                    return
                c.recv(1)

        async def main(path, wait):
            async with aio.Client(path) as client:
                await client.do(_calls.nodes())
                answered.set()
                said.wait(5)
                if wait:  # until the loop has read it
                    while not client._idle[0][0]._buffer:
                        await asyncio.sleep(0.001)
                self.assertEqual(await client.do(_calls.nodes()), [])

        for wait in (True, False):
            answered.clear()
            said.clear()
            with self.subTest(wait), Liar(act) as liar:
                run(main(liar.path, wait))
                self.assertEqual(liar.connections, 2)

    def test_own_client(self):
        async def main():
            async with await aio.connect(str(self.client.address)) as client:
                async with aio.spawn(client=client) as sandbox:
                    await sandbox.exec("post(1)")
                    self.assertEqual(await sandbox.recv(5), 1)
            with self.assertRaises(iso.Unavailable):
                await aio.spawn(client=client)

        run(main())


if __name__ == "__main__":
    unittest.main()
