"""Calls are part of the trace that the program is in."""

import sys
import types
import unittest
from unittest import mock

from . import support
import pyisolate as iso
from pyisolate import _trace

PARENT = "00-cccccccccccccccccccccccccccccccc-b7ad6b7169203331-01"
SEEN = "import pyisolate_guest; post(pyisolate_guest.trace())"


def opentelemetry(valid=True, **more):
    """As much of OpenTelemetry's module as is used."""
    span = types.SimpleNamespace(
        is_valid=valid, trace_id=int("c" * 32, 16), span_id=0xB7AD6B7169203331, trace_flags=1, **more
    )
    api = types.ModuleType("opentelemetry.trace")
    api.get_current_span = lambda: types.SimpleNamespace(get_span_context=lambda: span)
    return mock.patch.dict(sys.modules, {"opentelemetry.trace": api})


class TraceTest(unittest.TestCase):
    def test_parent(self):
        self.assertIsNone(_trace.parent())
        with opentelemetry():
            self.assertEqual(_trace.parent(), PARENT)
        with opentelemetry(valid=False):
            self.assertIsNone(_trace.parent())
        with mock.patch.dict(sys.modules, {"opentelemetry.trace": types.ModuleType("another")}):
            self.assertIsNone(_trace.parent())


class TracedCallTest(support.NodeTestCase):
    def test_the_guest_sees_it(self):
        with iso.spawn() as cell:
            cell.exec(SEEN)
            with opentelemetry():
                cell.exec(SEEN)
            self.assertEqual([cell.recv(), cell.recv()], [None, PARENT])


if __name__ == "__main__":
    unittest.main()
