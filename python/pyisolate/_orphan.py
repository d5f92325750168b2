"""Cells whose spawn was given up before its answer came."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import Iterator

from . import _address, _calls, errors

_PATIENCE = 5.0  # seconds, with each call; the interpreter's end waits for it


@contextmanager
def ended(address: _address.Address, call: "_calls.Call[_calls.Started]") -> Iterator[None]:
    """Around a spawn: when it is not known whether there is a cell, there soon is none."""
    try:
        yield
    except (errors.Timeout, errors.UnknownOutcome, errors.ProtocolError):
        _end_later(address, call)
        raise
    except Exception:
        raise  # the node has said that there is none, or it is away
    except BaseException:  # Ctrl-C, or the coroutine was cancelled
        _end_later(address, call)
        raise


def _end_later(address: _address.Address, call: "_calls.Call[_calls.Started]") -> None:
    threading.Thread(target=_end, args=(address, call), name="pyisolate-orphan").start()


def _end(address: _address.Address, call: "_calls.Call[_calls.Started]") -> None:
    from ._client import Client

    with Client._at(address) as client:
        try:
            # By its request_id the node knows it for the same, and says which cell that is. The
            # name alone may be another's by now.
            cell, _ = client.do(replace(call, timeout=_PATIENCE))
            client.do(_calls.kill(cell, "who spawned it did not wait"))
            client.do(_calls.close(cell, _PATIENCE))
        except errors.PyIsolateError:
            pass
