"""Cells of a cluster of three nodes: called by way of any, moved, kept, and gone on with elsewhere."""

import asyncio
import unittest

from .cluster import Cluster, eventually
import pyisolate as iso
from pyisolate import aio

COUNTER = """
counted = [0]
def count():
    counted[0] += 1
    return counted[0]
"""


class ClusterTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            cls.cluster = Cluster()
        except iso.NodeMissing as error:
            raise unittest.SkipTest(str(error)) from None
        cls.addClassCleanup(cls.cluster.close)

    def client(self, node):
        return self.cluster.clients[node]

    def spawn(self, name, by="n1", on="n2", **more):
        """A counter that was asked for at one node, and runs on another."""
        cell = iso.spawn(name, placement=iso.Placement(node=on), client=self.client(by), **more)
        self.addCleanup(cell.close)
        cell.exec(COUNTER)
        return cell

    def attached(self, cell, node):
        """The same cell by way of another node."""
        return iso.attach(cell.name, client=self.client(node))

    def test_1_any_node_has_all_cells(self):
        cell = self.spawn("shared")
        self.assertEqual(cell.inspect().node, "n2")
        for i, node in enumerate(self.cluster.names):
            self.assertEqual(self.attached(cell, node).call("count"), i + 1)
            self.assertIn("shared", iso.list_active(client=self.client(node)))
        by_label = iso.spawn(placement=iso.Placement(labels={"at": "n3"}), client=self.client("n1"))
        self.addCleanup(by_label.close)
        self.assertEqual(by_label.inspect().node, "n3")
        with self.assertRaises(iso.Invalid):
            iso.spawn(placement=iso.Placement(labels={"at": "nowhere"}), client=self.client("n1"))

    def test_2_messages_between_cells_of_nodes(self):
        one, other = self.spawn("one", on="n1", topics=["news"]), self.spawn("two", on="n3", topics=["news"])
        one.post("by n1")
        self.attached(other, "n1").post("by n1, for n3")
        for cell in (one, other):
            cell.exec("post(recv())")
        self.assertEqual((one.recv(10), other.recv(10)), ("by n1", "by n1, for n3"))
        self.assertEqual(iso.publish("news", {"n": 1}, client=self.client("n2")), 2)
        for cell in (one, other):
            cell.exec("post(recv())")
            self.assertEqual(cell.recv(10), {"n": 1})

    def test_3_a_cell_that_moves(self):
        cell, phases = self.spawn("mover"), []
        cell.call("count")
        cell.post("a letter")
        before = cell.inspect()
        end = iso.migrate(cell, "n3", progress=lambda move: phases.append(move.phase))
        self.assertEqual((end.phase, end.node, end.epoch), ("done", "n3", before.epoch + 1))
        self.assertGreater(end.paused, 0)
        in_order = ["prepare", "freeze", "copy", "activate", "collect", "done"]
        self.assertEqual(sorted(set(phases), key=in_order.index), list(dict.fromkeys(phases)))
        after = cell.inspect()
        self.assertEqual((after.id, after.node, after.migration), (before.id, "n3", None))
        self.assertEqual(cell.call("count"), 2)
        cell.exec("post(recv())")
        self.assertEqual(cell.recv(10), "a letter")
        with self.assertRaises(iso.Invalid):
            iso.migrate(cell, "n9")
        cell.exec("clock = (n for n in range(3))")
        with self.assertRaisesRegex(iso.NotCheckpointable, "globals\\['clock'\\]: generator"):
            iso.migrate(cell, "n1")
        self.assertEqual((cell.inspect().node, cell.call("count")), ("n3", 3))

    def test_4_a_cell_that_moves_for_asyncio(self):
        cell = self.spawn("walker")

        async def main():
            async with aio.Client(self.client("n3").address) as client:
                walker = await aio.attach("walker", client=client)
                calls = asyncio.ensure_future(count(walker, 20))
                end = await aio.migrate(walker, "n1")
                return end, await calls

        async def count(walker, times):
            return [await walker.call("count") for _ in range(times)]

        end, counted = asyncio.run(main())
        self.assertEqual((end.node, cell.inspect().node), ("n1", "n1"))
        self.assertEqual(counted, list(range(1, 21)))  # each once and in order, wherever it was

    def test_5_checkpoints_of_any_node(self):
        cell = self.spawn("kept")
        cell.call("count")
        kept = iso.checkpoint(cell)
        self.assertEqual(kept.nodes, ("n2",))
        listed = iso.checkpoints("kept", client=self.client("n3"))
        self.assertEqual([c.id for c in listed], [kept.id])
        cell.call("count")
        with iso.restore(kept, "again", client=self.client("n3")) as again:
            self.assertEqual((again.call("count"), cell.call("count")), (2, 3))
        iso.delete_checkpoint(kept, client=self.client("n1"))
        self.assertEqual(iso.checkpoints("kept", client=self.client("n3")), [])

    def test_6_a_node_that_is_drained(self):
        cell = self.spawn("guest", on="n3")
        cell.call("count")
        self.cluster.run("cluster", "drain", "n3")
        self.assertNotEqual(cell.inspect().node, "n3")
        self.assertEqual(cell.call("count"), 2)
        with self.assertRaises(iso.PyIsolateError):
            iso.spawn(placement=iso.Placement(node="n3"), client=self.client("n1"))

    def test_7_a_node_that_is_killed(self):
        """Its cell goes on elsewhere, with what the newest checkpoint has; what has none is gone."""
        bare = self.spawn("bare", on="n2")
        cell = self.spawn("heir", on="n2", checkpointing=iso.Checkpointing(messages=1000, replicas=1))
        cell.call("count")
        eventually("the cluster counts on a copy of another node", lambda: len(cell.checkpoint().nodes) == 2)
        before = cell.inspect()
        self.cluster.kill("n2")
        after = eventually("the cell goes on", lambda: self.running_elsewhere(cell, "n2"))
        self.assertEqual((after.id, after.name), (before.id, "heir"))
        self.assertGreater(after.epoch, before.epoch)
        self.assertEqual(eventually("it answers", lambda: cell.call("count")), 2)
        with self.assertRaises(iso.CellGone):
            bare.call("count")

    def running_elsewhere(self, cell, than):
        report = cell.inspect()
        return report if report.state == "running" and report.node != than else None


if __name__ == "__main__":
    unittest.main()
