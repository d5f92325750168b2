"""Pipelines: stages in cells of their own, with data that streams from one to the next."""

from __future__ import annotations

import contextlib
import inspect
import queue
import threading
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple, Union

from . import _client, _sandbox, _values, errors
from ._calls import PolicyLike
from ._client import Client
from ._sandbox import Sandbox
from ._ship import Shipment, raw
from ._values import Seconds

Work = Union[str, Callable[[Any], Any]]

_END = object()
# A value in a list, or bytes as they are, which no list can have; an empty list at the end.
_WRAPPER = """
def __stage__(value):
    global __values__
    __values__ = {entry}(value)
    return __stage_next__()

def __stage_next__():
    for value in __values__:
        return value if isinstance(value, bytes) else [value]
    return []
"""


@dataclass(frozen=True)
class Stage:
    """One stage: a function or a dotted name, and the cell it runs in."""

    name: str
    work: Work
    policy: PolicyLike = None
    timeout: Optional[float] = None
    options: Dict[str, Any] = field(default_factory=dict)

    def start(self, client: Optional[Client]) -> "_Running":
        """Starts the stage's cell and sends the function to it."""
        with _named(self.name):
            shipment = None if isinstance(self.work, str) else Shipment(self.work)
            cell = _sandbox.spawn(policy=self.policy, client=client, **self.options)
            target, many = str(self.work), False
            try:
                if shipment is not None and not isinstance(self.work, str):
                    many = inspect.isgeneratorfunction(raw(self.work, self.name))
                    target = "__stage__" if many else shipment.entry
                    code = shipment.code + (_WRAPPER.format(entry=shipment.entry) if many else "")
                    cell.exec(code, file="<shipped>", timeout=self.timeout)
            except BaseException:
                cell._give_up("its stage did not start")
                raise
        return _Running(self, cell, shipment, target, many)


@dataclass
class _Running:
    stage: Stage
    cell: Sandbox
    shipment: Optional[Shipment]
    target: str
    many: bool  # it is a generator: each value that it yields goes on

    def process(self, value: Any) -> Iterator[Any]:
        """What goes on for a value. A generator in the cell runs when it is asked for the next
        one, so that no more of its values are anywhere than there is room for."""
        result = self._call(self.target, value)
        if not self.many:
            yield result
            return
        while result != []:
            if isinstance(result, list) and len(result) == 1:
                (result,) = result
            elif not isinstance(result, bytes):  # whoever answers is not trusted
                raise self._strange()
            yield result
            result = self._call("__stage_next__")

    def _strange(self) -> errors.GuestError:
        error = errors.GuestError("the cell answered with what no generator gives", kind="GuestError")
        error.stage = self.stage.name
        return error

    def _call(self, target: str, *value: Any) -> Any:
        with _named(self.stage.name):
            try:
                return self.cell.call(target, *value, timeout=self.stage.timeout)
            except errors.PyIsolateError as error:
                if self.shipment is not None:
                    self.shipment.explain(error)
                raise


class Pipeline:
    """Stages in their order, each in a cell of its own under a policy of its own::

        p = iso.Pipeline()
        p.stage("parse", parse, policy="compute-only")
        p.stage("total", total)
        for result in p.run(lines):
            ...

    A stage is a function of one value, which is sent to its cell as by :func:`sandbox`, or the
    dotted name of one that the cell has. What it returns is what the next stage gets; if it is
    a generator function, each value that it yields is, when it yields it. All stages work at
    once, and no queue between two holds more than ``capacity`` values: who is fast, also a
    generator without an end, waits for who is slow.

    An error has the stage's name in ``stage``, and ends the run; so does leaving the iteration.
    """

    def __init__(self, *, capacity: int = 16, client: Optional[Client] = None) -> None:
        if capacity < 1:
            raise errors.Invalid(f"capacity {capacity}: one value is the least")
        self._stages: List[Stage] = []
        self._capacity = capacity
        self._client = _client.given(client)

    @property
    def stages(self) -> Tuple[Stage, ...]:
        """Its stages, in their order."""
        return tuple(self._stages)

    def stage(
        self,
        name: str,
        work: Work,
        *,
        policy: PolicyLike = None,
        timeout: Optional[Seconds] = None,
        **options: Any,
    ) -> "Pipeline":
        """Adds a stage and returns the pipeline. ``timeout`` is for each value, of a generator
        for each that it yields; ``options`` are those of :func:`spawn`."""
        if any(s.name == name for s in self._stages):
            raise errors.Invalid(f"there is a stage {name!r} already")
        self._stages.append(Stage(name, work, policy, _values.optional_seconds(timeout), options))
        return self

    def run(self, values: Iterable[Any]) -> Iterator[Any]:
        """Starts the cells and iterates over what comes out of the last stage, in the order of
        the values. The values are taken in another thread, as fast as the stages have room."""
        if not self._stages:
            raise errors.Invalid("the pipeline has no stages")
        return _Run(self._stages, self._capacity, _client.chosen(self._client)).results(values)

    def __call__(self, value: Any) -> Any:
        """Runs one value through the stages: the last result of the last stage."""
        last = None
        for last in self.run([value]):
            pass
        return last


class _Run:
    """One run: a thread for the values and one for each stage, with a queue after each."""

    def __init__(self, stages: List[Stage], capacity: int, client: Client) -> None:
        self._stages = stages
        self._client = client
        self._queues: List["queue.Queue[Any]"] = [queue.Queue(capacity) for _ in range(len(stages) + 1)]
        self._stop = threading.Event()
        self._failed: Optional[BaseException] = None
        self._lock = threading.Lock()
        self._running: List[_Running] = []

    def results(self, values: Iterable[Any]) -> Iterator[Any]:
        threads: List[threading.Thread] = []
        well = False  # nothing runs in a cell any more
        try:
            for stage in self._stages:
                self._running.append(stage.start(self._client))
            threads.append(threading.Thread(target=self._feed, args=(values,), daemon=True))
            threads += [
                threading.Thread(target=self._work, args=(n,), daemon=True) for n in range(len(self._stages))
            ]
            for t in threads:
                t.start()
            while True:
                value = self._get(self._queues[-1])
                if value is _END:
                    break
                yield value
            if self._failed is not None:
                raise self._failed
            well = True
        finally:
            self._end(threads, well)

    def _end(self, threads: List[threading.Thread], well: bool) -> None:
        self._stop.set()
        for r in self._running:
            if not well:
                r.cell._give_up("its pipeline ended")
                continue
            with contextlib.suppress(errors.PyIsolateError):
                r.cell.close()
        for t in threads[1:]:
            t.join()
        # The thread of the values may wait in the caller's iterator, for as long as that likes.

    def _feed(self, values: Iterable[Any]) -> None:
        try:
            for value in values:
                if not self._put(self._queues[0], value):
                    return
            self._put(self._queues[0], _END)
        except BaseException as error:  # the caller's own: it is raised where the results are taken
            self._fail(error)

    def _work(self, n: int) -> None:
        try:
            while True:
                value = self._get(self._queues[n])
                if value is _END:
                    break
                for result in self._running[n].process(value):
                    if not self._put(self._queues[n + 1], result):
                        return
            self._put(self._queues[n + 1], _END)
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            if self._failed is None and not self._stop.is_set():
                self._failed = error
            self._stop.set()

    def _put(self, q: "queue.Queue[Any]", value: Any) -> bool:
        """False: the run ends."""
        while not self._stop.is_set():
            try:
                q.put(value, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def _get(self, q: "queue.Queue[Any]") -> Any:
        """The end of the run is an end of the values, too."""
        while True:
            try:
                return q.get(timeout=0.1)
            except queue.Empty:
                if self._stop.is_set():
                    return _END


class _named:
    """Errors in it get the name of a stage."""

    def __init__(self, stage: str) -> None:
        self._stage = stage

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, errors.PyIsolateError):
            error.stage = self._stage
