class Self:
    def __repr__(self): return repr([self])
    def __getattr__(self, name): return getattr(self, name + "x")
    def __eq__(self, other): return [self] == [other]
    __hash__ = None
attempt(lambda: repr(Self()))
attempt(lambda: Self() == Self())
x = []
for _ in range(50000): x = [x]
attempt(lambda: repr(x))
attempt(lambda: x == x[0])
import json, pickle, copy
for f in (json.dumps, pickle.dumps, copy.deepcopy): attempt(f, x)
d = {}
for _ in range(50000): d = {1: d}
del d, x
import sys
sys.setrecursionlimit(2**31 - 1)
def f(): return f()
sys.setrecursionlimit(10**5)
attempt(f)
