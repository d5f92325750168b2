import functools
@functools.lru_cache
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
@functools.singledispatch
def show(x):
    return "object"
@show.register
def _(x: int):
    return "int"
class C:
    @functools.cached_property
    def v(self):
        print("once")
        return 1
c = C()
print(fib(60), fib.cache_info(), show(1), show(""), c.v + c.v, functools.reduce(lambda a, b: a * b, range(1, 6)))
print(functools.partial(int, base=2)("101"), functools.cmp_to_key(lambda a, b: b - a)(1) < functools.cmp_to_key(lambda a, b: b - a)(0))
