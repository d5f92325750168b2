"""Servers that lie, stall, flood and hang up: each is a clear error, in bounded time and memory."""

import asyncio
import resource
import socket
import threading
import time
import unittest

from . import support
from .support import Liar, answering, ok, read_request, stream_of
import pyisolate as iso
from pyisolate import _calls, _statecalls, aio

CELL = _calls.Ref("t", "c")
MIB = 1 << 20


def drip(data, pause=0.05):
    def act(c):
        read_request(c)
        for i in range(len(data)):
            c.sendall(data[i : i + 1])
            time.sleep(pause)

    return act


def silent(c):
    while c.recv(1 << 16):
        pass


def flood(head, piece, times):
    def act(c):
        read_request(c)
        c.sendall(head)
        for _ in range(times):
            c.sendall(piece)

    return act


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAMED = CHUNKED.replace(b"application/json", b"application/connect+json")

# Of a call: what the server does, the error, and what it says.
UNARY = {
    "hangs up": (lambda c: c.close(), iso.Unavailable, "closed the connection"),
    "hangs up after reading": (lambda c: (read_request(c), c.close()), iso.Unavailable, "closed the connection"),
    "another protocol": (answering(b"220 mail ESMTP\r\n"), iso.ProtocolError, "no HTTP server"),
    "half a head": (answering(b"HTTP/1.1 200 OK\r\nContent-"), iso.ProtocolError, "in the middle"),
    "half a body": (answering(ok(b'{"report":{}}')[:-3]), iso.ProtocolError, "in the middle"),
    "half a chunk": (answering(CHUNKED + b"ff\r\n{"), iso.ProtocolError, "in the middle"),
    "1 GiB announced": (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n"), iso.ProtocolError, "1073741824 bytes"),
    "1 GiB in chunks": (flood(CHUNKED, b"10000\r\n" + b"x" * 65536 + b"\r\n", 16384), iso.ProtocolError, "or more"),
    "1 GiB without a length": (
        flood(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", b"x" * 65536, 16384), iso.ProtocolError, "or more",
    ),
    "1 GiB of a head": (flood(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n" * 10000, 16384), iso.ProtocolError, "the head"),
    "1 GiB of continuations": (flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 40000), iso.ProtocolError, "continu"),
    "no JSON": (answering(ok(b"<html>")), iso.ProtocolError, "no JSON"),
    "a list": (answering(ok(b"[]")), iso.ProtocolError, "a JSON list"),
    "invalid UTF-8": (answering(ok(b'{"a":"\xff"}')), iso.ProtocolError, "no JSON"),
    "deep JSON": (answering(ok(b'{"a":' + b"[" * 500000)), iso.ProtocolError, "no JSON"),
    "many digits": (answering(ok(b'{"a":' + b"9" * 4301 + b"}")), iso.ProtocolError, "4301 digits; 4300 are the most"),
    "a page": (answering(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<p/>"), iso.ProtocolError, "is it a node?"),
    "an error of a proxy": (answering(b"HTTP/1.1 502 X\r\nContent-Length: 0\r\n\r\n"), iso.Unavailable, "502"),
    "an error without words": (
        answering(b"HTTP/1.1 500 X\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"), iso.PyIsolateError, "500",
    ),
    "slow": (drip(ok(b'{"report":{}}')), iso.Timeout, "in time"),
    "silent": (silent, iso.Timeout, "in time"),
}  # fmt: skip

STREAMS = {
    "hangs up": (lambda c: c.close(), iso.Unavailable, "closed the connection"),
    "half an envelope": (answering(STREAMED + b"4\r\n\0\0\0\1\r\n0\r\n\r\n"), iso.ProtocolError, "in the middle of a message"),
    "no end": (answering(stream_of(end=None)), iso.ProtocolError, "without saying how"),
    "cut": (answering(stream_of(b'{"log":{}}')[:-20]), iso.ProtocolError, "in the middle of an answer"),
    "compressed": (answering(STREAMED + b"7\r\n\1\0\0\0\2{}\r\n"), iso.ProtocolError, "compression"),
    "4 GiB announced": (answering(STREAMED + b"5\r\n\0\xff\xff\xff\xff\r\n"), iso.ProtocolError, "4294967295 bytes"),
    "no JSON": (answering(stream_of(b"x")), iso.ProtocolError, "no JSON"),
    "a metric beyond all numbers": (answering(stream_of(b'{"metric":{"value":' + b"9" * 400 + b"}}")), iso.ProtocolError, "no value"),
    "an error": (answering(stream_of(end=b'{"error":{"code":"not_found","message":"gone"}}')), iso.NotFound, "gone"),
    "no stream": (answering(ok(b"{}")), iso.ProtocolError, "is it a node?"),
    "an error that is no stream": (
        answering(b'HTTP/1.1 404 X\r\nContent-Type: application/json\r\nContent-Length: 37\r\n\r\n{"code":"not_found","message":"gone"}'), iso.NotFound, "gone",
    ),
    "an endless error": (flood(b"HTTP/1.1 500 X\r\n\r\n", b"x" * 65536, 16384), iso.ProtocolError, "500"),
}  # fmt: skip


class HostileTest(unittest.TestCase):
    def bounded(self):
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()

        def check():
            self.assertLess(time.monotonic() - start, 8, "it took too long")
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            self.assertLess(grown, 64 << 10, "it took too much memory (KiB)")

        return check

    def test_calls(self):
        for name, (act, kind, text) in UNARY.items():
            with self.subTest(name), Liar(act) as liar, iso.Client(liar.path, max_message=4 * MIB) as client:
                check = self.bounded()
                with self.assertRaises(kind) as caught:
                    client.do(
                        _calls.Call(
                            "CellService/Inspect", {}, lambda d: d, timeout=0.3 if kind is iso.Timeout else 20
                        )
                    )
                self.assertIn(text, str(caught.exception))
                check()

    def test_calls_of_asyncio(self):
        async def ask(path, timeout):
            async with aio.Client(path, max_message=4 * MIB) as client:
                await client.do(_calls.Call("CellService/Inspect", {}, lambda d: d, timeout=timeout))

        for name, (act, kind, text) in UNARY.items():
            with self.subTest(name), Liar(act) as liar:
                check = self.bounded()
                with self.assertRaises(kind) as caught:
                    asyncio.run(ask(liar.path, 0.3 if kind is iso.Timeout else 20))
                self.assertIn(text, str(caught.exception))
                check()

    def test_streams(self):
        for name, (act, kind, text) in STREAMS.items():
            with self.subTest(name), Liar(act) as liar, iso.Client(liar.path, max_message=4 * MIB) as client:
                check = self.bounded()
                with self.assertRaises(kind) as caught:
                    for _ in client.stream(_calls.logs(CELL, True)):
                        pass
                self.assertIn(text, str(caught.exception))
                check()

    def test_streams_of_asyncio(self):
        async def ask(path):
            async with aio.Client(path, max_message=4 * MIB) as client:
                async for _ in client.stream(_calls.logs(CELL, True)):
                    pass

        for name, (act, kind, text) in STREAMS.items():
            with self.subTest(name), Liar(act) as liar:
                check = self.bounded()
                with self.assertRaises(kind) as caught:
                    asyncio.run(ask(liar.path))
                self.assertIn(text, str(caught.exception))
                check()

    def test_a_stream_that_pauses_goes_on(self):
        """A timeout between two messages loses nothing, wherever the bytes stop."""
        data = stream_of(b'{"log":{"message":"one"}}', b'{"log":{"message":"two"}}')
        cut = data.index(b"two") - 10
        more = threading.Event()

        def act(c):
            read_request(c)
            c.sendall(data[:cut])
            more.wait(10)
            c.sendall(data[cut:])

        with Liar(act) as liar, iso.Client(liar.path) as client, client.stream(
            _calls.logs(CELL, True)
        ) as stream:
            self.assertEqual(stream.next(5).message, "one")
            with self.assertRaises(iso.Timeout):
                stream.next(0.1)
            more.set()
            self.assertEqual(stream.next(5).message, "two")
            self.assertIsNone(stream.next(5))

    def test_an_end_whose_answer_has_none(self):
        """The stream's own end is one, also on a connection that stays silent after it."""
        data = stream_of(b'{"log":{"message":"one"}}')[: -len(b"0\r\n\r\n")]

        def act(c):
            read_request(c)
            c.sendall(data)
            silent(c)

        async def ask(path):
            async with aio.Client(path) as client:
                return [x.message async for x in client.stream(_calls.logs(CELL, True))]

        with Liar(act) as liar, iso.Client(liar.path) as client:
            self.assertEqual([x.message for x in client.stream(_calls.logs(CELL, True))], ["one"])
            self.assertEqual(asyncio.run(asyncio.wait_for(ask(liar.path), 10)), ["one"])

    def test_an_answer_before_the_request_is_read(self):
        """A server that refuses a large request without reading it is heard."""
        refusal = b'{"code":"resource_exhausted","message":"too large"}'

        def act(c):
            c.recv(100)
            c.sendall(
                b"HTTP/1.1 429 X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                % len(refusal)
                + refusal
            )
            c.close()

        with Liar(act) as liar, iso.Client(liar.path) as client:
            with self.assertRaises((iso.Limited, iso.Unavailable)):
                client.do(_calls.Call("CellService/Exec", {"code": "x" * 8 * MIB}, lambda d: d, timeout=10))

    def test_long_waits(self):
        """Of more time than the system counts."""
        with Liar(answering(ok(b"{}"))) as liar, iso.Client(liar.path) as client:
            self.assertEqual(client.do(_calls.recv(CELL, timeout=9.9e9)), [])
        with Liar(answering(stream_of(b'{"log":{}}'))) as liar, iso.Client(liar.path) as client:
            with client.stream(_calls.logs(CELL, True)) as stream:
                self.assertIsInstance(stream.next(9.9e9), iso.Log)

    def test_values_that_are_none(self):
        for body in (
            b'{"value":{"json":"{"}}',
            b'{"value":{"raw":"!"}}',
            b'{"value":[1]}',
            b'{"value":{"json":1}}',
        ):
            with self.subTest(body), Liar(answering(ok(body))) as liar, iso.Client(liar.path) as client:
                with self.assertRaises(iso.ProtocolError):
                    client.do(_calls.call(CELL, "f"))

    def test_reports_of_nonsense(self):
        """Fields of other types than they should be are as if they were not there."""
        body = b'{"report":{"cell":[],"cpu":{},"memory":"x","layers":{"a":1},"policy":[1],"started":7,"restarts":"99999999999999999999999"}}'
        with Liar(answering(ok(body))) as liar, iso.Client(liar.path) as client:
            report = client.do(_calls.inspect(CELL))
            self.assertEqual(
                (report.name, report.cpu, report.memory, report.layers, report.started),
                ("", 0.0, 0, (), None),
            )

    def test_header_injection(self):
        for token in ("a\r\nX: y", "a b", "ä", "\0"):
            with self.assertRaises(iso.Invalid):
                iso.Client("/tmp/s", token=token)


class PlacementTest(unittest.TestCase):
    def test_what_is_asked_for(self):
        for placement, body in (
            (None, None),
            (iso.Placement(), None),
            (iso.Placement(node="n2"), {"node": "n2"}),
            (iso.Placement(labels={"zone": "a"}, strategy="pack"), {"labels": {"zone": "a"}, "strategy": "pack"}),
            (iso.Placement(layers=["landlock"]), {"layers": ["landlock"]}),
        ):
            with self.subTest(placement):
                self.assertEqual(_calls.spawn("x", placement=placement).body.get("placement"), body)

    def test_nonsense_is_not_sent(self):
        for wrong in ({"labels": "zone=a"}, {"labels": ["zone"]}, {"layers": "landlock"}, {"strategy": "random"}):
            with self.subTest(wrong), self.assertRaises(iso.Invalid):
                iso.Placement(**wrong)


class CheckpointingTest(unittest.TestCase):
    def test_what_is_asked_for(self):
        for checkpointing, body in (
            (None, None),
            (iso.Checkpointing(), {}),  # never, whatever the policy says
            (iso.Checkpointing(every="1m30s"), {"every": "90.000000000s"}),
            (iso.Checkpointing(1, 100, True, 2), {"every": "1.000000000s", "messages": "100", "beforeDrain": True, "replicas": 2}),
        ):
            with self.subTest(checkpointing):
                self.assertEqual(_calls.spawn("x", checkpointing=checkpointing).body.get("checkpoint"), body)

    def test_nonsense_is_not_sent(self):
        for wrong, said in (
            ({"every": 0.5}, "a second at least"),
            ({"every": "often"}, "every 'often'"),
            ({"messages": -1}, "messages -1"),
            ({"messages": 1.5}, "messages 1.5"),
            ({"before_drain": "save"}, "before_drain 'save'"),
            ({"replicas": 6}, "5 other nodes are the most"),
            ({"replicas": True}, "replicas True"),
        ):
            with self.subTest(wrong), self.assertRaisesRegex(iso.Invalid, said):
                iso.Checkpointing(**wrong)

    def test_no_checkpoint(self):
        """An empty id is not sent: to a node it would be another question."""
        for call in (_statecalls.delete_checkpoint, lambda of: _statecalls.restore(of, "", "", "")):
            with self.assertRaisesRegex(iso.Invalid, "without an id"):
                call("")


class RepetitionTest(unittest.TestCase):
    def lossy(self, lose):
        """A server that hangs up on the first requests."""
        seen = []

        def act(c):
            while True:
                request = read_request(c)
                if not request:
                    return
                seen.append(request.partition(b"\r\n\r\n")[2])
                if len(seen) <= lose:
                    c.close()
                    return
                c.sendall(ok(b"{}"))

        return act, seen

    def test_what_has_an_id_is_repeated_with_it(self):
        act, seen = self.lossy(2)
        with Liar(act) as liar, iso.Client(liar.path) as client:
            client.do(_calls.exec_(CELL, "x"))
        self.assertEqual(len(seen), 3)
        self.assertEqual(len(set(seen)), 1)
        self.assertIn(b'"requestId":"', seen[0])

    def test_not_for_ever(self):
        act, seen = self.lossy(100)
        with Liar(act) as liar, iso.Client(liar.path) as client, self.assertRaises(iso.Unavailable):
            client.do(_calls.exec_(CELL, "x"))
        self.assertEqual(len(seen), 3)

    def test_what_is_taken_once_is_not_asked_for_twice(self):
        for call in (_calls.recv(CELL), _calls.publish("", "t", 1)):
            act, seen = self.lossy(1)
            with Liar(act) as liar, iso.Client(liar.path) as client, self.assertRaises(iso.UnknownOutcome):
                client.do(call)
            self.assertEqual(len(seen), 1)

    def test_two_ids_are_never_the_same(self):
        self.assertNotEqual(_calls.exec_(CELL, "x").body, _calls.exec_(CELL, "x").body)

    def test_connections_are_kept(self):
        with Liar(answering(ok(b"{}"), close=False)) as liar, iso.Client(liar.path) as client:
            for _ in range(20):
                client.do(_calls.inspect(CELL))
            self.assertEqual(liar.connections, 1)

    def test_a_connection_that_was_closed_meanwhile(self):
        with Liar(answering(ok(b"{}"))) as liar, iso.Client(liar.path) as client:
            client.do(_calls.recv(CELL, timeout=0))
            self.assertTrue(client._pool._idle[0].readable(5), "the end has not arrived")
            client.do(_calls.recv(CELL, timeout=0))
            self.assertEqual(liar.connections, 2)

    def test_threads(self):
        with Liar(answering(ok(b"{}"), close=False)) as liar, iso.Client(liar.path) as client:
            failed = []

            def work():
                try:
                    for _ in range(50):
                        client.do(_calls.inspect(CELL))
                except Exception as error:
                    failed.append(error)

            threads = [threading.Thread(target=work) for _ in range(8)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(failed, [])
            self.assertLessEqual(liar.connections, 16)


class PlaceTest(unittest.TestCase):
    def test_nobody_there(self):
        with self.assertRaises(iso.Unavailable) as caught:
            iso.Client("/nowhere/s").do(_calls.nodes())
        self.assertIn("no node is running at /nowhere/s", str(caught.exception))
        self.assertIn("pyisolate-node serve", str(caught.exception))

    def test_tcp(self):
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]

        def act():
            c, _ = listener.accept()
            request = read_request(c)
            c.sendall(ok(b'{"nodes":[{"id":"n"}]}'))
            c.close()
            seen.append(request)

        seen = []
        t = threading.Thread(target=act)
        t.start()
        with iso.Client(f"http://127.0.0.1:{port}", token="pyi_x") as client:
            self.assertEqual(client.do(_calls.nodes())[0].id, "n")
        t.join()
        listener.close()
        self.assertIn(b"Authorization: Bearer pyi_x\r\n", seen[0])
        self.assertIn(f"Host: 127.0.0.1:{port}\r\n".encode(), seen[0])
