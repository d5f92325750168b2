"""Cells that run the restricted dialect alone."""

from __future__ import annotations

from typing import Any, Optional, Sequence

from . import _calls, _client, _orphan
from ._calls import PolicyLike
from ._client import Client
from ._sandbox import Sandbox
from ._values import Seconds


class RestrictedExec(Sandbox):
    """A sandbox whose programs are of the restricted dialect: assignments, expressions,
    arithmetic and a few pure functions, in which a list, dict or set has one owner::

        with iso.RestrictedExec() as cell:
            cell.exec("a = [1, 2]; b = move(a); post(sum(b))")
            print(cell.recv())  # 3

    It starts a cell at once, with the options of :func:`spawn`. What is not part of the dialect
    is a :class:`GuestError` of type "SyntaxError"; a value that is used after it was moved, or
    gets a second owner, is an :class:`OwnershipError`. docs/guest.md has the dialect.
    """

    def __init__(
        self,
        name: Optional[str] = None,
        *,
        policy: PolicyLike = None,
        tenant: str = "",
        client: Optional[Client] = None,
        **options: Any,
    ) -> None:
        client = _client.chosen(client)
        call = _calls.spawn(name, tenant, policy=policy, **options)
        with _orphan.ended(client.address, call):
            ref, backend = client.do(call)
        super().__init__(client, ref, backend)

    def exec(
        self,
        code: str,
        *,
        file: str = "",
        args: Sequence[str] = (),
        dialect: str = "restricted",
        timeout: Optional[Seconds] = None,
    ) -> None:
        """Runs source of the restricted dialect; as :meth:`Sandbox.exec`."""
        super().exec(code, file=file, args=args, dialect=dialect, timeout=timeout)
