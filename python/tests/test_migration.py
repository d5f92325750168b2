"""How moves are told, blocking and with asyncio, of a server that says what a node would."""

import asyncio
import json
import unittest

from . import support  # noqa: F401  # the SDK's path
from .support import Liar, answering, ok, stream_of
import pyisolate as iso
from pyisolate import _calls, _reports, aio

CELL = _calls.Ref("t", "c", "7")


def message(phase, **more):
    said = {"phase": phase, "copied": "1024", "size": "2048", "paused": "0.034s", "epoch": "3", "node": "n2", **more}
    return json.dumps(said).encode()


MOVED = stream_of(message("prepare"), message("copy"), message("done", epoch="4"))
REFUSED = b'{"error":{"code":"failed_precondition","message":"it holds a lock"}}'


class MigrationTestCase(unittest.TestCase):
    def blocking(self, answer, progress=None):
        with Liar(answering(answer)) as liar, iso.Client(liar.path) as client:
            return iso.migrate(iso.Sandbox(client, CELL, "process"), "n2", progress=progress)

    def asyncio(self, answer, progress=None):
        async def main(path):
            async with aio.Client(path) as client:
                return await aio.migrate(aio.Sandbox(client, CELL, "process"), "n2", progress=progress)

        with Liar(answering(answer)) as liar:
            return asyncio.run(main(liar.path))

    def test_progress(self):
        for migrate in (self.blocking, self.asyncio):
            with self.subTest(migrate.__name__):
                seen = []
                last = migrate(MOVED, seen.append)
                self.assertEqual([m.phase for m in seen], ["prepare", "copy", "done"])
                self.assertEqual(last, iso.Move("done", 1024, 2048, 0.034, 4, "n2"))

    def test_no_word_of_the_end(self):
        """A stream that ends before the move does is no move that is done."""
        for answer in (stream_of(), stream_of(message("activate")), stream_of(message("abort"))):
            for migrate in (self.blocking, self.asyncio):
                with self.subTest((answer, migrate.__name__)), self.assertRaises(iso.ProtocolError):
                    migrate(answer)

    def test_failure(self):
        """What the node says at the end of the stream is raised, after the steps before."""
        for migrate in (self.blocking, self.asyncio):
            with self.subTest(migrate.__name__):
                seen = []
                with self.assertRaisesRegex(iso.PyIsolateError, "it holds a lock"):
                    migrate(stream_of(message("freeze"), end=REFUSED), seen.append)
                self.assertEqual(len(seen), 1)

    def test_progress_that_raises(self):
        def fail(_):
            raise KeyError("enough")

        for migrate in (self.blocking, self.asyncio):
            with self.subTest(migrate.__name__), self.assertRaisesRegex(KeyError, "enough"):
                migrate(MOVED, fail)

    def test_abort(self):
        async def main(path):
            async with aio.Client(path) as client:
                await aio.Sandbox(client, CELL, "process").abort_migration()

        with Liar(answering(ok(b"{}"))) as liar:
            with iso.Client(liar.path) as client:
                iso.Sandbox(client, CELL, "process").abort_migration()
            asyncio.run(main(liar.path))

    def test_report(self):
        """A report says where its cell goes, and nothing of one that stays."""
        going = {"migration": {"to": "n3", "phase": "copy", "copied": "5", "began": "2026-01-02T03:04:05Z"}}
        move = _reports.report(going).migration
        self.assertEqual((move.to, move.phase, move.copied, move.size, move.began.year), ("n3", "copy", 5, 0, 2026))
        self.assertIsNone(_reports.report({}).migration)
