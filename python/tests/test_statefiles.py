"""Checkpoints as files: to and from a real node, blocking and with asyncio, and from servers that are none."""

import asyncio
import dataclasses
import io
import os
import stat
import tempfile
import threading
import time
import tracemalloc
import unittest
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

from . import support
from .support import Liar, NodeTestCase, stream_of
import pyisolate as iso
from pyisolate import _statecalls, _statefiles, aio

KEPT = b'{"checkpoint":{"id":"ab","cell":{"tenant":"default","name":"c"}}}'


def blocking(name, *args, **more):
    """A function of the SDK."""
    return getattr(iso, name)(*args, **more)


def with_asyncio(name, *args, **more):
    """The same one of aio."""
    return asyncio.run(getattr(aio, name)(*args, **more))


BOTH = (blocking, with_asyncio)


class Zeros(io.RawIOBase):
    """A file of a GiB, that counts what was read of it."""

    def __init__(self):
        self.given = 0

    def readable(self):
        return True

    def read(self, n=-1):
        if self.given >= 1 << 30:
            return b""
        self.given += n
        return bytes(n)


class StateFilesTestCase(NodeTestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="pyisolate-test-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def tearDown(self):
        super().tearDown()
        for one in iso.checkpoints():
            iso.delete_checkpoint(one)

    def path(self, name):
        return os.path.join(self.directory, name)

    def kept(self, code="n = 41"):
        with iso.spawn("traveller", allowed_imports=["random"]) as cell:
            cell.exec(code)
            return iso.checkpoint(cell)

    def test_to_a_key_and_back(self):
        for do in BOTH:
            with self.subTest(do.__name__):
                kept, file, mine = self.kept(), self.path("state"), self.path(do.__name__)
                key = do("checkpoint_key", mine)
                self.assertEqual(do("checkpoint_key", mine), key, "an identity that is there stays")
                size = do("export_checkpoint", kept, file, recipient=key)
                found = os.stat(file)
                self.assertEqual((found.st_size, stat.S_IMODE(found.st_mode)), (size, 0o600))
                iso.delete_checkpoint(kept)
                with self.assertRaisesRegex(iso.Invalid, "no key for the checkpoint"):
                    do("import_checkpoint", file)
                iso.checkpoint_key(self.path("other"))
                with self.assertRaisesRegex(iso.Invalid, "no key for the checkpoint: it is sealed to"):
                    do("import_checkpoint", file, identity=self.path("other"))
                self.assertEqual(iso.checkpoints(), [])
                back = do("import_checkpoint", file, identity=mine)
                self.assertEqual((back.name, back.tenant, back.epoch), (kept.name, kept.tenant, kept.epoch))
                with iso.restore(back) as cell:
                    cell.exec("post(n + 1)")
                    self.assertEqual(cell.recv(), 42)
                iso.delete_checkpoint(back)

    def test_open_files(self):
        """As the node has it, to a file that is open and from one, which stay open."""
        for do in BOTH:
            with self.subTest(do.__name__):
                kept, file = self.kept(), io.BytesIO()
                self.assertEqual(do("export_checkpoint", kept.id, file), len(file.getvalue()))
                iso.delete_checkpoint(kept)
                file.seek(0)
                self.assertEqual(do("import_checkpoint", file).id, kept.id)
                self.assertFalse(file.closed)

    def test_damaged(self):
        file = io.BytesIO()
        iso.export_checkpoint(self.kept(), file)
        whole = file.getvalue()
        for do in BOTH:
            for data in (whole[:-1], whole[: len(whole) // 2], whole[:-9] + b"x" + whole[-8:], whole + b"x"):
                with self.subTest(do.__name__, size=len(data)), self.assertRaises(iso.Corrupt):
                    do("import_checkpoint", io.BytesIO(data))
            for data in (b"", b"what is this?"):
                with self.subTest(do.__name__, data=data), self.assertRaises((iso.Corrupt, iso.Invalid)):
                    do("import_checkpoint", io.BytesIO(data))

    def test_no_such_checkpoint(self):
        """A file that is there stays as it is, and nothing lies beside it."""
        with open(self.path("file"), "w") as f:
            f.write("before")
        for do in BOTH:
            with self.subTest(do.__name__):
                with self.assertRaises(iso.NotFound):
                    do("export_checkpoint", "0" * 64, self.path("file"))
                with self.assertRaisesRegex(iso.Invalid, "does not begin with"):
                    do("export_checkpoint", self.kept(), self.path("file"), recipient="me")
                self.assertEqual(os.listdir(self.directory), ["file"])
                with open(self.path("file")) as f:
                    self.assertEqual(f.read(), "before")

    def test_little_memory(self):
        """Neither way has all of a state of 16 MiB at once."""
        kept, file = self.kept("import random\ns = random.randbytes(16 << 20)"), self.path("state")
        for do in BOTH:
            with self.subTest(do.__name__):
                tracemalloc.start()
                try:
                    size = do("export_checkpoint", kept, file)
                    iso.delete_checkpoint(kept)
                    do("import_checkpoint", file)
                    peak = tracemalloc.get_traced_memory()[1]
                finally:
                    tracemalloc.stop()
                self.assertGreater(size, 16 << 20)
                self.assertLess(peak, 8 << 20)

    def test_refused_before_all_is_sent(self):
        """What the node does not want is not sent, and its reason is told."""
        for do in BOTH:
            with self.subTest(do.__name__):
                file = Zeros()
                with self.assertRaisesRegex(iso.Invalid, "does not begin with"):
                    do("import_checkpoint", file, identity=io.BytesIO(b"pyisolate-to-1:00"))
                self.assertLess(file.given, 256 << 20)

    def test_file_that_fails(self):
        """What a file raises is raised, and a part of it is no checkpoint."""

        class Bad(io.BytesIO):
            def read(self, n=-1):
                data = super().read(n)
                if not data:
                    raise OSError("the disk is gone")
                return data

        for do in BOTH:
            with self.subTest(do.__name__):
                file = io.BytesIO()
                kept = self.kept()
                do("export_checkpoint", kept, file)
                iso.delete_checkpoint(kept)
                with self.assertRaisesRegex(OSError, "the disk is gone"):
                    do("import_checkpoint", Bad(file.getvalue()))
                with self.assertRaisesRegex(iso.Invalid, "open it as bytes"):
                    do("import_checkpoint", io.StringIO("text"))
                with self.assertRaises(FileNotFoundError):
                    do("import_checkpoint", self.path("none"))
                self.assertEqual(iso.checkpoints(), [])

    def test_identities(self):
        with open(self.path("text"), "w") as f:
            f.write("é")
        for do in BOTH:
            with self.subTest(do.__name__):
                with self.assertRaisesRegex(iso.Invalid, "is no identity"):
                    do("import_checkpoint", io.BytesIO(), identity=self.path("text"))
                with self.assertRaisesRegex(iso.Invalid, "text: no key for the checkpoint"):
                    do("checkpoint_key", self.path("text"))
                with mock.patch.dict(os.environ, {"PYISOLATE_NODE": "/nowhere"}):
                    with self.assertRaisesRegex(iso.NodeMissing, "keys are made by pyisolate-node"):
                        do("checkpoint_key", self.path("new"))

    def test_a_binary_that_is_none(self):
        for text, expected in {"no program": iso.NodeMissing, "#!/bin/sh\nexec sleep 60": iso.Timeout}.items():
            with open(self.path("node"), "w") as f:
                f.write(text)
            os.chmod(self.path("node"), 0o700)
            for do in BOTH:
                with self.subTest(text=text, by=do.__name__), mock.patch.object(_statefiles, "_MAKING", 0.2):
                    with mock.patch.dict(os.environ, {"PYISOLATE_NODE": self.path("node")}):
                        with self.assertRaises(expected):
                            do("checkpoint_key", self.path("new"))


class LiarTestCase(unittest.TestCase):
    def tried(self, do, act, file=b"x"):
        async def main(path):
            async with aio.Client(path) as client:
                return await aio.import_checkpoint(io.BytesIO(file), client=client)

        with Liar(act) as liar:
            if do is with_asyncio:
                return asyncio.run(main(liar.path))
            with iso.Client(liar.path) as client:
                return iso.import_checkpoint(io.BytesIO(file), client=client)

    def answering(self, answer, after=b"\r\n0\r\n\r\n"):
        def act(c):
            got = b""
            while after not in got:
                part = c.recv(65536)
                if not part:
                    return
                got += part
            c.sendall(answer)
            c.close()

        return act

    def test_one_answer(self):
        for do in BOTH:
            with self.subTest(do.__name__):
                self.assertEqual(self.tried(do, self.answering(stream_of(KEPT))).id, "ab")
                # Before all of it was read, and then the connection breaks.
                early = self.answering(stream_of(KEPT), b"\r\n\r\n")
                self.assertEqual(self.tried(do, early, bytes(32 << 20)).id, "ab")

    def test_other_answers(self):
        for do in BOTH:
            for answer, want in (
                (stream_of(), iso.ProtocolError),
                (stream_of(KEPT, KEPT), iso.ProtocolError),
                (stream_of(KEPT, end=None), iso.ProtocolError),
                (stream_of(KEPT, end=b'{"error":{"code":"data_loss"}}'), iso.Corrupt),
                (stream_of(end=b'{"error":{"code":"not_found"}}'), iso.NotFound),
                (support.ok(KEPT), iso.ProtocolError),
                (b"", iso.UnknownOutcome),
            ):
                with self.subTest(do.__name__, answer=answer), self.assertRaises(want):
                    self.tried(do, self.answering(answer))

    def test_cancelled(self):
        """Who gives an import up has it break off, of a node that says nothing."""
        begun, ended = threading.Event(), threading.Event()
        told = []

        def act(c):
            while c.recv(65536):
                begun.set()
            ended.set()

        async def main(path):
            asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
            async with aio.Client(path) as client:
                going = asyncio.ensure_future(aio.import_checkpoint(io.BytesIO(bytes(8 << 20)), client=client))
                self.assertTrue(await asyncio.to_thread(begun.wait, 60))
                going.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await going

        with Liar(act) as liar:
            asyncio.run(main(liar.path))
            self.assertTrue(ended.wait(60))
        self.assertEqual(told, [], "who cancels it knows that it has failed")

    def test_cancelled_before_it_connects(self):
        """It ends when the thread that it waits for comes to it."""
        free = threading.Event()
        call = dataclasses.replace(_statecalls.import_checkpoint(""), timeout=30)

        async def main(path):
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
            busy = asyncio.ensure_future(asyncio.to_thread(free.wait, 60))
            await asyncio.sleep(0)
            async with aio.Client(path) as client:
                going = asyncio.ensure_future(client.upload(call, iter([_statecalls.file_piece(b"x")])))
                await asyncio.sleep(0)
                going.cancel()
                await asyncio.sleep(0)
                free.set()
                done, _ = await asyncio.wait({going}, timeout=10)
                self.assertTrue(await busy)
                self.assertTrue(done and going.cancelled(), "it waits for the node")

        with Liar(self.answering(b"", after=b"never")) as liar:
            asyncio.run(main(liar.path))

    def test_silence(self):
        """A node that says nothing is waited for as long as it is told that it has, and a little."""
        over = threading.Event()
        self.addCleanup(over.set)
        for do in BOTH:
            with self.subTest(do.__name__), mock.patch.object(_statecalls, "_IMPORT", 0.1):
                with self.assertRaises(iso.Timeout):
                    self.tried(do, self.answering(b"", after=b"never"))
                with self.assertRaises(iso.Timeout):  # nor does it take what is sent
                    self.tried(do, lambda c: over.wait(60), bytes(8 << 20))
