# Running statistics: windows, quantiles, and a pipeline of closures.
import bisect
import collections
import dataclasses
import decimal
import functools
import math


@dataclasses.dataclass
class Running:
    n: int = 0
    mean: float = 0.0
    m2: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    recent: collections.deque = dataclasses.field(default_factory=lambda: collections.deque(maxlen=16))

    def add(self, x):
        self.n += 1
        delta = x - self.mean
        self.mean += delta / self.n
        self.m2 += delta * (x - self.mean)
        self.low, self.high = min(self.low, x), max(self.high, x)
        self.recent.append(x)

    @property
    def deviation(self):
        return math.sqrt(self.m2 / self.n)


class Sorted(list):
    def append(self, x):
        bisect.insort(self, x)

    def quantile(self, q):
        return self[int(q * (len(self) - 1))]


def smooth(weight):
    level = None

    def stage(x):
        nonlocal level
        level = x if level is None else weight * x + (1 - weight) * level
        return level

    return stage


stages = [functools.partial(round, ndigits=6), smooth(0.25), abs, math.sqrt]
by_name = collections.defaultdict(Running)
seen = Sorted()
total = decimal.Decimal(0)
kinds = collections.Counter()
source = iter(range(10**9))


def step(i):
    global total
    n = next(source)
    x = functools.reduce(lambda value, stage: stage(value), stages, math.sin(n) * 100)
    by_name["all"].add(x)
    by_name[f"mod{n % 3}"].add(x)
    seen.append(x)
    total += decimal.Decimal(repr(x))
    kinds["big" if x > 5 else "small"] += 1
    return [n, by_name["all"].deviation, {k: v.mean for k, v in by_name.items()}, seen.quantile(0.9), str(total),
            kinds.most_common(), list(by_name["mod0"].recent)]
