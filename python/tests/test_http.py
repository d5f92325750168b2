"""The parser of responses and streams, fed with good and bad bytes in all kinds of pieces."""

import random
import unittest

from . import support
from pyisolate import _http, errors

GOOD = {
    "length": support.ok(b'{"a":1}'),
    "chunks": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n3;x=y\r\n{"a\r\n4\r\n":1}\r\n0\r\nTrailer: x\r\n\r\n',
    "after a 100": b"HTTP/1.1 100 Continue\r\n\r\n" + support.ok(b'{"a":1}'),
    "without a reason": support.ok(b'{"a":1}').replace(b"200 OK", b"200"),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
}

BAD = {
    "no HTTP": (b"SSH-2.0-OpenSSH\r\n", "no HTTP server"),
    "HTTP/2": (b"HTTP/2 200\r\n\r\n", "no HTTP/1.1 server"),
    "status": (b"HTTP/1.1 abc\r\n\r\n", "no HTTP/1.1 server"),
    "endless head": (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20000, "the head of the answer has more than"),
    "header": (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "the header b'no colon'"),
    "folded header": (b"HTTP/1.1 200 OK\r\nA: b\r\n c: d\r\n\r\n", "the header"),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "the header"),
    "negative length": (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "the length '-1'"),
    "length of digits of others": ("HTTP/1.1 200 OK\r\nContent-Length: ١\r\n\r\n".encode(), "the length"),
    "length of a GiB": (b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", "1073741824 bytes or more"),
    "coding": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "the transfer encoding"),
    "chunk's size": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "a chunk of the answer has the size",
    ),
    "long chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        "longer than it says",
    ),
    "line of a chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 2000, "too long"),
    "trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 200,
        "more than 100 trailers",
    ),
}


def fed(data, pieces, most=1 << 20):
    response, body, at = _http.Response(most), b"", 0
    for size in pieces:
        body += response.feed(data[at : at + size])
        at += size
        if at >= len(data) or response.complete:
            break
    return response, body


class ResponseTest(unittest.TestCase):
    def test_good(self):
        for name, data in GOOD.items():
            with self.subTest(name):
                response, body = fed(data, [len(data)])
                self.assertTrue(response.complete and response.keep_alive)
                self.assertEqual(body, b"" if name == "no content" else b'{"a":1}')

    def test_good_in_pieces(self):
        for name, data in GOOD.items():
            whole = fed(data, [len(data)])[1]
            for size in (1, 2, 3, 7):
                with self.subTest(name, size=size):
                    response, body = fed(data, [size] * len(data))
                    self.assertTrue(response.complete)
                    self.assertEqual(body, whole)

    def test_bad(self):
        for name, (data, want) in BAD.items():
            for size in (len(data), 1000, 1):
                with self.subTest(name, size=size):
                    with self.assertRaises(errors.ProtocolError) as caught:
                        fed(data, [size] * len(data))
                    self.assertIn(want, str(caught.exception))

    def test_more_than_it_says(self):
        response, body = fed(support.ok(b"{}") + b"HTTP/1.1 200 OK\r\n", [1000])
        self.assertEqual(body, b"{}")
        self.assertFalse(response.keep_alive, "what comes next on this connection cannot be trusted")

    def test_end(self):
        for data, whole in ((b"", False), (b"HTTP/1.1 2", False), (support.ok(b"{}")[:-1], False)):
            response, _ = fed(data, [len(data)])
            with self.assertRaises(errors.ProtocolError):
                response.eof()
        response, body = fed(b"HTTP/1.0 200 OK\r\n\r\nrest", [100])
        self.assertFalse(response.complete)
        response.eof()
        self.assertTrue(response.complete)
        self.assertEqual(body, b"rest")

    def test_damaged_at_random(self):
        """Whatever comes, it is an answer or a ProtocolError, and never more than the limit."""
        r = random.Random(6)
        for _ in range(3000):
            data = bytearray(r.choice([*GOOD.values(), support.stream_of(b'{"x":1}', b"{}")]))
            for _ in range(r.randint(1, 4)):
                at = r.randrange(len(data))
                data[at : at + r.randint(0, 3)] = r.choice(
                    [b"", b"\r\n", b"\0", b"9", b"f", bytes([r.randrange(256)]) * 3]
                )
                data = data or bytearray(b"x")
            response = _http.Response(1 << 10)
            messages = _http.Messages(response, 1 << 10)
            size = 0
            try:
                for at in range(0, len(data), 5):
                    part = response.feed(bytes(data[at : at + 5]))
                    size += len(part)
                    response.limited(size)
                    messages.feed(part)
                response.eof()
                _http.answer(response, b"{}")
            except errors.PyIsolateError:
                pass


class EnvelopesTest(unittest.TestCase):
    def feed(self, data, size=1000, most=100):
        e, out = _http.Envelopes(most), []
        for at in range(0, len(data), size):
            out += e.feed(data[at : at + size])
        out += e.feed(b"")
        e.eof()
        return out

    def test_messages(self):
        data = b'\0\0\0\0\7{"a":1}\0\0\0\0\2{}\2\0\0\0\2{}'
        for size in (1, 4, 5, 100):
            self.assertEqual(self.feed(data, size), [{"a": 1}, {}])

    def test_error_comes_after_what_was_before(self):
        e = _http.Envelopes()
        end = b'{"error":{"code":"not_found","message":"gone"}}'
        self.assertEqual(e.feed(b"\0\0\0\0\2{}\2" + len(end).to_bytes(4, "big") + end), [{}])
        with self.assertRaises(errors.NotFound) as caught:
            e.feed(b"")
        self.assertEqual(str(caught.exception), "gone")

    def test_bad(self):
        for name, (data, want) in {
            "half a head": (b"\0\0", "in the middle of a message"),
            "half a message": (b"\0\0\0\0\4{}", "in the middle of a message"),
            "no end": (b"\0\0\0\0\2{}", "without saying how"),
            "compressed": (b"\1\0\0\0\2{}", "nobody asked for compression"),
            "flags": (b"\x40\0\0\0\2{}", "the flags 0x40"),
            "4 GiB": (b"\0\xff\xff\xff\xff", "4294967295 bytes; 100 are the limit"),
            "no JSON": (b"\0\0\0\0\1{", "no JSON"),
            "a list": (b"\0\0\0\0\2[]", "a JSON list and no object"),
            "deep": (b"\0\0\1\x86\xa0" + b"[" * 100000, "no JSON"),
        }.items():
            with self.subTest(name), self.assertRaises(errors.ProtocolError) as caught:
                self.feed(data, most=1 << 20 if name == "deep" else 100)
            self.assertIn(want, str(caught.exception))


class RequestTest(unittest.TestCase):
    def test_bytes(self):
        got = _http.request("node", "CellService/Exec", b"{}", stream=False, token="t", timeout_ms=1500)
        self.assertEqual(
            got,
            b"POST /pyisolate.v1.CellService/Exec HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\n"
            b"Content-Length: 2\r\nConnect-Protocol-Version: 1\r\nAuthorization: Bearer t\r\n"
            b"Connect-Timeout-Ms: 1500\r\n\r\n{}",
        )

    def test_stream(self):
        got = _http.request("node", "CellService/Logs", b"{}", stream=True, token="", timeout_ms=None)
        self.assertTrue(got.endswith(b"Connect-Protocol-Version: 1\r\n\r\n\0\0\0\0\2{}"), got)

    def test_failures_that_are_not_a_nodes(self):
        for status, kind in (
            (502, errors.Unavailable),
            (404, errors.Unimplemented),
            (401, errors.Unauthenticated),
            (302, errors.ProtocolError),
        ):
            response = _http.Response()
            response.feed(b"HTTP/1.1 %d X\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\n" % status)
            with self.assertRaises(kind) as caught:
                _http.answer(response, b"<a>")
            self.assertIn(f"the server answered {status} text/html: '<a>'", str(caught.exception))
