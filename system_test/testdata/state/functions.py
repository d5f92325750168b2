import contextlib
import functools
import logging
import operator
import os
import sys

factor = 10


def scale(a, b=2, /, *rest, c=3, **more) -> "int":
    """Scales."""
    return (a + b + c + len(rest) + len(more)) * factor


scale.note = "noted"


def counter(start):
    n = start

    def step():
        nonlocal n
        n += 1
        return n

    def look():
        return n

    return step, look


step, look = counter(5)
step()
square = lambda n: n * n


def local_recursion():
    def fact(n):
        return 1 if n < 2 else n * fact(n - 1)

    return fact


fact = local_recursion()
partial = functools.partial(scale, 1, c=9)
pick = operator.itemgetter(1)
method = operator.methodcaller("upper")


@functools.lru_cache(maxsize=10)
def doubled(n):
    return n * 2


doubled(3)


@contextlib.contextmanager
def opened(x):
    yield x + 1


@functools.singledispatch
def kind(x):
    return "any"


@kind.register
def _(x: int):
    return "int"


def decorated(f):
    @functools.wraps(f)
    def wrapper(*args):
        return f(*args) + 1

    return wrapper


@decorated
def plus(a):
    return a


def generic[T](a: T) -> list[T]:
    return [a]


apart = {"K": 77}
exec("def inside(): return K", apart)
inside = apart["inside"]
defaults = []


def shares(x, into=defaults):
    into.append(x)


say = [post, recv, log, print, len, os.getcwd, sys.stdout, os.environ, logging.getLogger("q"), sys.modules]
say_post = post
module = os.path
code = scale.__code__
unset = (lambda: later).__closure__
def holder():
    if 0:
        later = 1
    return lambda: later
empty_cell = holder()
# --- after ---
assert scale(1) == 60 and scale.__doc__ == "Scales." and scale.note == "noted" and scale.__globals__ is globals()
assert scale.__annotations__ == {"return": "int"} and scale(1, 2, 3, c=0, z=1) == 50
factor = 1
assert scale(1) == 6
assert step() == 7 and look() == 7 and square(4) == 16 and fact(5) == 120
assert partial(2) == 12 and pick([1, 2]) == 2 and method("a") == "A"
assert doubled(4) == 8 and doubled.cache_info().maxsize == 10
with opened(1) as two:
    assert two == 2
assert kind("") == "any" and kind(1) == "int" and plus(1) == 2 and plus.__name__ == "plus" and plus.__wrapped__(1) == 1
assert generic(1) == [1] and generic.__type_params__[0].__name__ == "T" and inside() == 77
assert inside.__globals__ is apart
shares(1)
assert defaults == [1] and shares.__defaults__[0] is defaults
assert say[0] is post and say_post is post and say[1] is recv and say[3] is print and say[4] is len
assert say[5] is os.getcwd and say[6] is sys.stdout and say[7] is os.environ and say[8] is logging.getLogger("q")
assert say[9] is sys.modules and module is os.path and code is scale.__code__
try:
    empty_cell()
    assert False
except NameError:
    pass
