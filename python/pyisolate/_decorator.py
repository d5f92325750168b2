"""@sandbox: a function that runs in a cell of its own each time it is called."""

from __future__ import annotations

import functools
import inspect
import time
from types import FunctionType
from typing import Any, Callable, Dict, Generic, Optional, TypeVar, overload

from . import _calls, _client, _sandbox, _values, errors
from ._calls import PolicyLike
from ._ship import A_METHOD, Shipment, raw
from ._values import Seconds

R = TypeVar("R")


class Sandboxed(Generic[R]):
    """A function that is called in a cell. ``local`` is the function itself."""

    def __init__(
        self,
        function: Callable[..., R],
        policy: PolicyLike,
        timeout: Optional[Seconds],
        options: Dict[str, Any],
        given: Callable[[Any], object] = _client.given,
    ) -> None:
        functools.update_wrapper(self, function)  # first: it brings the attributes of a sandboxed one, too
        self.__pyisolate_function__ = _no_method(raw(function, getattr(function, "__qualname__", repr(function))))
        self.local = function
        self.policy = policy
        self.timeout = _values.optional_seconds(timeout)
        self._options = options
        given(options.get("client"))
        _require_options(policy, options)

    def __repr__(self) -> str:
        return f"<sandboxed {self.local!r}>"

    def clock(self) -> Callable[[], Optional[float]]:
        """What is left of the timeout, from now on."""
        until = None if self.timeout is None else time.monotonic() + self.timeout
        return lambda: None if until is None else max(0.001, until - time.monotonic())

    def spawning(self, left: Callable[[], Optional[float]]) -> Dict[str, Any]:
        """The options of the cell."""
        most = left()
        return self._options if most is None else {**self._options, "timeout": min(most, _calls.SHORT)}

    def __call__(self, /, *args: Any, **kwargs: Any) -> R:
        left, shipment = self.clock(), Shipment(self.local)
        with _sandbox.spawn(policy=self.policy, **self.spawning(left)) as cell:
            try:
                cell.exec(shipment.code, file="<shipped>", timeout=left())
                # Not by its method, whose own timeout a keyword of the function's may be called.
                result: R = cell.client.do(_calls.call(cell._ref, shipment.entry, args, kwargs, left()))
                return result
            except errors.PyIsolateError as error:
                shipment.explain(error)
                raise


def _require_options(policy: PolicyLike, options: Dict[str, Any]) -> None:
    """Raises what spawn would, of all that can be told without a node."""
    given = inspect.signature(_sandbox.spawn).bind(policy=policy, **options).arguments
    name = given.pop("name", None)
    given.pop("client", None)
    _calls.spawn(name, **given)


def _no_method(f: FunctionType) -> FunctionType:
    """NotShippable of what a class has as a method. What is static has no object among its parameters."""
    in_class = f.__qualname__.split(".")[-2:-1] not in ([], ["<locals>"])
    if in_class and f.__code__.co_argcount and f.__code__.co_varnames[0] in ("self", "cls"):
        raise errors.NotShippable(f"{f.__qualname__} {A_METHOD}")
    return f


@overload
def sandbox(function: Callable[..., R]) -> Sandboxed[R]:
    ...


@overload
def sandbox(
    function: None = None, *, policy: PolicyLike = None, timeout: Optional[Seconds] = None, **options: Any
) -> Callable[[Callable[..., R]], Sandboxed[R]]:
    ...


def sandbox(
    function: Optional[Callable[..., R]] = None,
    *,
    policy: PolicyLike = None,
    timeout: Optional[Seconds] = None,
    **options: Any,
) -> Any:
    """Makes a function run in a cell of its own each time it is called::

        @iso.sandbox(policy="stdlib.readonly", timeout="30s")
        def mean(numbers):
            import statistics
            return statistics.mean(numbers)

    What is sent is its source, the values of its defaults and closure, and the globals that it
    uses, functions among them. Nothing comes back but the result: assigning to globals is an
    error. Arguments and result are JSON, or one argument of ``bytes``. ``timeout`` is for all
    of a call; ``options`` are those of :func:`spawn`. :class:`NotShippable` says what cannot be
    sent: of a method or an async function at once, of what a function uses when it is called.
    """
    if function is not None:
        return Sandboxed(function, policy, timeout, options)
    return lambda f: Sandboxed(f, policy, timeout, options)
