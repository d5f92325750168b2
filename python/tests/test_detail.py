"""Errors as nodes send them."""

import base64
import pickle
import random
import unittest
from datetime import datetime, timezone

from . import support  # noqa: F401
from pyisolate import _detail, errors


def field(number, value):
    if isinstance(value, int):
        return bytes([number << 3]) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2]) + varint(len(value)) + value


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


DENIAL = (
    field(1, "c") + field(2, "fs") + field(3, "open /x") + field(7, field(1, 1700000000) + field(2, 5000))
)
PROBLEM = field(1, "a.yml") + field(2, 300) + field(3, 5) + field(4, "bad") + field(7, "a.yml:300:5: bad\n")
DETAIL = (
    field(1, "PolicyDenied") + field(2, "no") + field(3, "grant it") + field(4, PROBLEM) + field(5, "ImportDenied")
    + field(6, "Traceback…") + field(7, DENIAL)
)  # fmt: skip


class DetailTest(unittest.TestCase):
    def test_all_of_it(self):
        sent = {
            "code": "permission_denied",
            "message": "x",
            "details": [
                {"type": "pyisolate.v1.ErrorDetail", "value": base64.b64encode(DETAIL).decode().rstrip("=")}
            ],
        }
        e = _detail.of_json(sent)
        self.assertIs(type(e), errors.PolicyDenied)
        self.assertIsInstance(e, PermissionError)
        self.assertEqual(
            (e.kind, e.message, e.hint, e.type, e.traceback),
            ("PolicyDenied", "no", "grant it", "ImportDenied", "Traceback…"),
        )
        at = datetime(2023, 11, 14, 22, 13, 20, 5, tzinfo=timezone.utc)
        self.assertEqual(e.denial, errors.Denial("c", "fs", "open /x", at=at))
        self.assertEqual(e.problems, (errors.Problem("a.yml", 300, 5, "bad", text="a.yml:300:5: bad\n"),))
        self.assertEqual(str(e), "no\na.yml:300:5: bad (grant it)")

    def test_every_kind_has_its_class(self):
        for kind, cls in errors._CLASSES.items():
            with self.subTest(kind):
                e = _detail.of_bytes(field(1, kind) + field(2, "m"))
                self.assertIs(type(e), cls)
                self.assertEqual(cls.__name__, kind)
                self.assertIn(kind, errors.__all__)

    def test_ownership(self):
        self.assertIs(
            type(_detail.of_bytes(field(1, "GuestError") + field(5, "OwnershipError"))), errors.OwnershipError
        )

    def test_unknown_word(self):
        e = _detail.of_json(
            {
                "code": "unavailable",
                "details": [
                    {"type": "pyisolate.v1.ErrorDetail", "value": base64.b64encode(field(1, "New")).decode()}
                ],
            }
        )
        self.assertIs(type(e), errors.Unavailable)
        self.assertEqual(e.kind, "New")

    def test_without_a_detail(self):
        self.assertIs(type(_detail.of_json({"code": "not_found", "message": "m"})), errors.NotFound)
        self.assertEqual(str(_detail.of_json({}, 500)), "the node answered 500")
        for junk in (None, 1, [], "x"):
            self.assertIsInstance(_detail.of_json(junk), errors.ProtocolError)
        for junk in (
            [{}],
            [1],
            {"a": 1},
            [{"type": "pyisolate.v1.ErrorDetail", "value": "!"}],
            [{"type": "pyisolate.v1.ErrorDetail"}],
        ):
            self.assertIsInstance(
                _detail.of_json({"code": "aborted", "details": junk}),
                (errors.Conflict, errors.PyIsolateError),
            )

    def test_damaged_at_random(self):
        r = random.Random(1)
        for _ in range(5000):
            data = bytearray(DETAIL)
            for _ in range(r.randint(1, 5)):
                data[r.randrange(len(data))] = r.randrange(256)
            try:
                str(_detail.of_bytes(bytes(data[: r.randint(0, len(data))])))
            except ValueError:
                pass

    def test_pickle(self):
        e = _detail.of_bytes(DETAIL)
        e.stage = "s"
        got = pickle.loads(pickle.dumps(e))
        self.assertEqual(
            (type(got), str(got), got.denial, got.problems), (type(e), str(e), e.denial, e.problems)
        )

    def test_timestamps(self):
        for text, want in {
            "2026-11-26T22:00:22.824179070Z": datetime(2026, 11, 26, 22, 0, 22, 824179, tzinfo=timezone.utc),
            "2026-11-26T22:00:22Z": datetime(2026, 11, 26, 22, 0, 22, tzinfo=timezone.utc),
            "2026-11-26T22:00:22.5Z": datetime(2026, 11, 26, 22, 0, 22, 500000, tzinfo=timezone.utc),
            "never": None, "9999-99-99T00:00:00Z": None, "2026-11-26T22:00:22.xZ": None, 5: None,
        }.items():  # fmt: skip
            self.assertEqual(_detail.timestamp(text), want, text)
