"""The contexts of the command line: servers by name. See ``pyisolate-node context``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from ._address import Address


def named(name: str) -> Optional["Address"]:
    """The server of a context; None: there is no such context."""
    return None


def current() -> Optional["Address"]:
    """The server of the current context; None: there is none."""
    return None
