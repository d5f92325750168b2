def cell(x):
    def inner(): return x
    return inner
f, g = cell(1), (lambda: 0)
attempt(setattr, g, "__code__", f.__code__)
attempt(setattr, f, "__code__", (lambda: 0).__code__)
def h(a, b=1, *c, d=2):
    h.__defaults__ = h.__kwdefaults__ = None
    h.__code__ = (lambda a: a).__code__
    return attempt(h, 1), a, b, c, d
attempt(h, 1)
def gen():
    gen.__code__ = h.__code__
    yield 1
list(gen())
