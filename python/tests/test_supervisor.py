"""A supervisor's node, mode and warm pool."""

import asyncio
import gc
import threading
import time
import unittest
from unittest import mock

from .support import NodeTestCase
import pyisolate as iso
from pyisolate import _node, _sandbox, aio


def until(condition):
    """Waits for what nobody tells of, at most 20 s."""
    end = time.monotonic() + 20
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it did not come to that")
        time.sleep(0.005)


class SupervisorTest(NodeTestCase):
    def test_a_node_of_its_own(self):
        with iso.Supervisor(rollout_mode="dev") as s:
            with s.spawn("one") as sandbox:
                sandbox.exec("post(1)")
                self.assertEqual(sandbox.recv(timeout=5), 1)
                self.assertEqual(list(s.list_active()), ["one"])
                self.assertEqual(s.stats().states["running"], 1)
            self.assertNotEqual(str(s.client.address), str(self.client.address))
            path = s.client.address.path
        with self.assertRaises(iso.Unavailable):
            iso.Client(path).do(iso._calls.nodes())

    def test_cells_outlived_by_their_names(self):
        """To close a cell that has ended with the supervisor's node is no error; to ask it for something is."""

        async def awaited():
            with iso.Supervisor() as s:
                s.spawn("one")
                cell = await aio.attach("one", client=aio.Client(s.client.address))
            await cell.close()
            await cell.close()
            await cell.kill()

        asyncio.run(awaited())
        with iso.Supervisor() as s:
            one, two = s.spawn("one"), s.spawn("two")
            path = s.client.address.path
        del s
        for _ in range(2):
            one.close()
            one.kill()
        with two:
            pass
        with self.assertRaises(iso.Unavailable):
            one.exec("pass")
        with iso.Supervisor() as s:
            cell = s.spawn()
            s._node._process.kill()
            s._node._process.wait()
            cell.close()
        away = iso.Client(path + "-of-another-program")
        with self.assertRaises(iso.Unavailable):
            iso.Sandbox(away, iso._calls.Ref("default", "other"), owned=False).close()

    def test_nodes_that_have_ended_are_not_kept(self):
        """Each is known for this program's by where it was, and by nothing that is kept of it."""

        def kept():
            gc.collect()
            return {n: len(v) for n, v in vars(_node).items() if hasattr(v, "__len__") and not n.startswith("__")}

        cells, before = [], kept()
        for _ in range(2):
            with iso.Supervisor() as s:
                cell = s.spawn()
                cells.append(iso.Sandbox(iso.Client(str(s.client.address)), cell._ref))
            del s, cell
            self.assertEqual(kept(), before)
        for cell in cells:
            cell.close()

    def test_warm_pool(self):
        with iso.Supervisor(warm_pool=3, client=self.client, allowed_imports=["math"]) as s:
            until(lambda: s.warm == 3)
            cells = [s.spawn() for _ in range(3)]
            self.assertEqual(len({c.name for c in cells}), 3)
            for c in cells:
                c.exec("import math; post(math.pi)")
                self.assertGreater(c.recv(timeout=5), 3)
            until(lambda: s.warm == 3)
            other = s.spawn("named", allowed_imports=["json"])
            other.exec("import json")
            self.assertEqual(s.warm, 3, "what has options of its own does not come from the pool")
        self.assertEqual(iso.list_active(), {}, "it closes what it has started")

    def test_cells_of_others(self):
        """It keeps no cell that was closed, and ends no other of the name."""
        with iso.Supervisor(client=self.client) as s:
            for name in ("job", None, None):
                with s.spawn(name):
                    pass
            s.spawn().kill("enough")
            self.assertEqual(s._cells, {})
            s.spawn("left")
            kept = s.spawn("again")
            iso.attach("again").close()
            other = iso.spawn("again")
            with iso.spawn("job") as job:
                s.close()
                for cell in (job, other):
                    cell.exec("post(1)")
                    self.assertEqual(cell.recv(timeout=5), 1)
        self.assertEqual(list(iso.list_active()), ["again"])
        del kept

    def test_closed_at_once(self):
        """What does not end in the time that it is given is ended, and forgotten with its name."""
        code = "log('info', 'begun')\nwhile True: pass"
        with iso.Supervisor(client=self.client) as s:
            for timeout in (0, 0.01, "10ms"):
                sandbox, failed = s.spawn("job"), []

                def work():
                    try:
                        sandbox.exec(code)
                    except iso.PyIsolateError as error:
                        failed.append(type(error))

                with self.subTest(timeout):
                    thread = threading.Thread(target=work)
                    thread.start()
                    with sandbox.logs(follow=True) as logs:
                        logs.next(20)
                    sandbox.close(timeout)
                    thread.join(20)
                    self.assertEqual((failed, s._cells, iso.list_active()), ([iso.CellGone], {}, {}))
                sandbox.close(0)  # it has ended before

    def test_a_warm_cell_that_has_ended(self):
        with iso.Supervisor(warm_pool=2, client=self.client) as s:
            until(lambda: s.warm == 2)
            for cell, end in zip(list(s._warm), ("kill", "close")):
                getattr(iso.attach(cell.name), end)()
            sandbox = s.spawn()
            sandbox.exec("post(1)")
            self.assertEqual(sandbox.recv(timeout=5), 1)
            until(lambda: s.warm == 2)

    def test_a_warm_cell_that_cannot_be_looked_at(self):
        """It is closed with the others: that it could not be asked does not say that it is gone."""
        with iso.Supervisor(warm_pool=1, client=self.client) as s:
            until(lambda: s.warm == 1)
            with mock.patch.object(iso.Sandbox, "inspect", side_effect=iso.Limited("too many calls")):
                s.spawn()
        self.assertEqual(iso.list_active(), {})

    def test_closed_while_it_spawns(self):
        s = iso.Supervisor(client=self.client)
        spawn = _sandbox.spawn

        def late(*args, **options):
            cell = spawn(*args, **options)
            s.close()
            return cell

        with mock.patch.object(_sandbox, "spawn", late), self.assertRaises(iso.Unavailable):
            s.spawn()
        with self.assertRaises(iso.Unavailable):
            s.spawn()
        self.assertEqual(iso.list_active(), {})

    def test_closed_while_its_pool_is_filled(self):
        """A cell that comes late and cannot be closed any more is nothing to print."""
        spawn, printed = _sandbox.spawn, []
        client = iso.Client._at(self.client.address)

        def late(*args, **options):
            cell = spawn(*args, **options)
            client.close()
            until(lambda: s._closed)
            return cell

        with mock.patch.object(_sandbox, "spawn", late), mock.patch.object(threading, "excepthook", printed.append):
            s = iso.Supervisor(warm_pool=1, client=client)
            s.close()
        self.assertFalse(s._filler.is_alive())
        self.assertEqual(printed, [])

    def test_a_pool_that_cannot_be_filled(self):
        with iso.Supervisor(warm_pool=1, client=self.client, policy="no-such-policy") as s:
            with self.assertRaises(iso.NotFound):
                s.spawn()

    def test_options_that_no_cell_has(self):
        printed = []
        with mock.patch.object(threading, "excepthook", printed.append):
            with iso.Supervisor(warm_pool=1, client=self.client, memry="1MiB") as s:
                for _ in range(2):
                    until(lambda: s._failed is not None or not s._filler.is_alive())
                    with self.assertRaisesRegex(TypeError, "memry"):
                        s.spawn()
                self.assertTrue(s._filler.is_alive(), "it tries again")
        self.assertEqual(printed, [])

    def test_mode_of_a_node_that_runs(self):
        mode = iso.nodes()[0].mode
        if not mode:
            self.skipTest("this node does not tell its mode")
        with iso.Supervisor(mode, client=self.client):
            pass
        with self.assertRaisesRegex(iso.Invalid, f"has the mode {mode}"):
            iso.Supervisor("compatibility" if mode != "compatibility" else "dev", client=self.client)

    def test_bad(self):
        for options in ({"rollout_mode": "canary"}, {"warm_pool": -1}, {"warm_pool": 10**6}):
            with self.assertRaises(iso.Invalid):
                iso.Supervisor(**options)


if __name__ == "__main__":
    unittest.main()
