"""Speed of the SDK against a node of its own: one row a measurement, as `pyisolate-node bench`.

    make bench, or: PYISOLATE_NODE=bin/pyisolate-node python3 python/bench.py [--profile]

A row of sdk.round is spawn, exec and recv, with a cell of the tenant that runs and cells that
stand ready, as in a node that is at work. Between two rounds there is time for the pool.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import sys
import time
from typing import Callable, List, Tuple

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import pyisolate as iso  # noqa: E402  # of this tree

Row = Tuple[str, float, int, Callable[[], float]]


def timed(do: Callable[[], object]) -> Callable[[], float]:
    """The time of what is done, in microseconds."""

    def sample() -> float:
        start = time.perf_counter()
        do()
        return (time.perf_counter() - start) * 1e6

    return sample


def round_trip() -> float:
    """A cell that starts, runs and answers; its end is not in the figure."""
    start = time.perf_counter()
    cell = iso.spawn()
    cell.exec("post(1)")
    cell.recv()
    took = (time.perf_counter() - start) * 1e6
    cell.close()
    time.sleep(0.01)  # in which the host makes the next cell ready
    return took


def rows(cell: iso.Sandbox) -> List[Row]:
    """What is measured: name, bar for the median in microseconds (0: none), samples, how."""
    value = "x" * 1000
    cell.exec("def same(x): return x\ndef burst(n):\n    for i in range(n): post(i)")

    def burst() -> None:
        cell.call("burst", 500)
        posts = cell.posts()
        for _ in range(500):
            next(posts)

    shipped = iso.sandbox(lambda x: x)
    return [
        ("sdk.round", 2000, 200, round_trip),
        ("sdk.call", 0, 1000, timed(lambda: cell.call("same", value))),
        ("sdk.exec", 0, 1000, timed(lambda: cell.exec("pass"))),
        ("sdk.posts", 0, 50, timed(burst)),
        ("sdk.function", 0, 50, timed(lambda: shipped(1))),
    ]


def main() -> None:
    """Prints the rows."""
    with iso.Supervisor() as supervisor:
        iso.set_default(supervisor.client)
        cell = iso.spawn()
        print(f"{'ROW':<14}{'UNIT':<6}{'P50':>9}{'P90':>9}{'P99':>9}  BAR")
        for name, bar, samples, sample in rows(cell):
            for _ in range(min(20, samples)):
                sample()
            profile = cProfile.Profile()
            if "--profile" in sys.argv:
                profile.enable()
            got = sorted(sample() for _ in range(samples))
            profile.disable()
            p50, p90, p99 = (got[min(samples - 1, samples * p // 100)] for p in (50, 90, 99))
            verdict = f"{bar:g} {'reached' if p50 <= bar else 'missed'}" if bar else "-"
            print(f"{name:<14}{'us':<6}{p50:>9.0f}{p90:>9.0f}{p99:>9.0f}  {verdict}")
            if "--profile" in sys.argv:
                pstats.Stats(profile).sort_stats("tottime").print_stats(12)


if __name__ == "__main__":
    main()
