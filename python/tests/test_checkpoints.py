"""Checkpoints of a node: taken, restored and deleted, and those that a cell takes by itself."""

import time
import unittest

from .support import NodeTestCase
import pyisolate as iso


class CheckpointTest(NodeTestCase):
    def test_checkpoints(self):
        """A cell goes on where its checkpoint was taken, beside the one that it was taken of."""
        with iso.spawn("story", allowed_imports=["math"]) as sandbox:
            sandbox.exec("import math\nseen = []\ndef hear(x):\n    seen.append(x)\n    return seen\npost('waiting')")
            sandbox.call("hear", 1)
            sandbox.post("letter")
            kept = iso.checkpoint(sandbox)
            self.assertEqual((kept.name, kept.tenant, kept.epoch), ("story", "default", 1))
            self.assertEqual([c.id for c in iso.checkpoints("story")], [kept.id])
            sandbox.call("hear", 2)
            with iso.restore(kept, "again") as again:
                self.assertEqual(again.call("hear", 3), [1, 3])
                self.assertEqual(sandbox.call("hear", 3), [1, 2, 3])
                self.assertEqual(again.recv(5), "waiting")
                again.exec("post(recv())")
                self.assertEqual(again.recv(5), "letter")
            with self.assertRaises(iso.Invalid):
                iso.restore(kept)  # the name is taken
            with self.assertRaises(iso.NotFound):
                iso.restore("0" * 64)
            sandbox.exec("seen = (i for i in seen)")
            with self.assertRaises(iso.NotCheckpointable) as caught:
                sandbox.checkpoint()
            self.assertIn("globals['seen']: generator", str(caught.exception))
        with iso.restore(kept.id) as story:
            self.assertEqual((story.name, story.call("hear", 9)), ("story", [1, 9]))
        iso.delete_checkpoint(kept)
        self.assertEqual(iso.checkpoints("story"), [])
        with self.assertRaises(iso.NotFound):
            iso.delete_checkpoint(kept.id)

    def test_checkpoints_by_themselves(self):
        """After so many messages; and where a cell says never, not by anything."""
        with iso.spawn("kept", checkpointing=iso.Checkpointing(messages=2)) as sandbox:
            sandbox.exec("n = 1")
            self.assertEqual(sandbox.checkpoints(), [])
            sandbox.exec("n = 2")
            until = time.monotonic() + 20
            while not (found := sandbox.checkpoints()):
                self.assertLess(time.monotonic(), until, "there is no checkpoint")
                time.sleep(0.02)
            self.assertEqual([(c.name, c.epoch) for c in found], [("kept", 1)])
            iso.delete_checkpoint(found[0])
        with self.assertRaisesRegex(iso.Invalid, "by itself"):
            iso.spawn(checkpointing=iso.Checkpointing(replicas=1))


if __name__ == "__main__":
    unittest.main()
