import functools, inspect, types
made = []
class Fake(tuple):
    __class__ = types.FunctionType
Fake.__code__ = property(functools.partial(types.CodeType, 0, 0, 0, 0, 4, 0, b"\x54\xff" * 200, (), (), (), "x", "x", "x", 1, b"", b"", ()))
code = attempt(lambda: inspect.iscoroutinefunction(Fake()))
class Catch:
    def __and__(self, flag): return 0
for name in ("iscoroutinefunction", "isgeneratorfunction", "isasyncgenfunction"):
    attempt(getattr(inspect, name), Fake())
