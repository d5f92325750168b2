from collections import ChainMap, Counter, OrderedDict, abc, defaultdict, deque, namedtuple
P = namedtuple("P", "x y", defaults=[0])
print(P(1), P(1, 2)._asdict(), Counter("mississippi").most_common(2), ChainMap({"a": 1}, {"a": 2, "b": 3})["b"])
d = defaultdict(list); d["k"].append(1)
o = OrderedDict(a=1, b=2); o.move_to_end("a")
q = deque(range(5), maxlen=3); q.rotate(1)
print(d, o, q, isinstance([], abc.Sequence), issubclass(dict, abc.Mapping))
