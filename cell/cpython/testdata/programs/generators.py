import types, contextvars, operator, timeit, sched, graphlib, tomllib, configparser
def g():
    x = yield 1
    yield from (x, x)
i = g(); print(next(i), i.send(5), list(i))
v = contextvars.ContextVar("v", default=0)
c = contextvars.copy_context(); c.run(v.set, 3); print(v.get(), c[v])
print(tomllib.loads("a = [1, 2]\n[t]\nd = 2020-01-01"), list(graphlib.TopologicalSorter({"b": {"a"}}).static_order()))
p = configparser.ConfigParser(); p.read_string("[s]\nk = %(j)s!\nj = 1"); print(p["s"]["k"])
print(operator.itemgetter(1)("ab"), types.SimpleNamespace(a=1), timeit.timeit("1", number=1) >= 0)
def cor():
    async def c(): return 1
    try:
        c().send(None)
    except StopIteration as e:
        return e.value
print(cor())
