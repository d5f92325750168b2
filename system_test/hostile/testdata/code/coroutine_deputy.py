import functools, types
def f(a, b): return a + b
evil = functools.partial(f.__code__.replace, co_code=b"\x54\xff" * 200, co_consts=(), co_stacksize=1)
class Code:
    __class__ = types.CodeType
    co_flags = 0x20
Code.replace = staticmethod(lambda **named: evil(**named))
direct = Code()
direct.replace = evil
class Function:
    __class__ = types.FunctionType
    def __call__(self): pass
for code in (Code(), direct):
    fake = Function()
    fake.__code__ = code
    attempt(types.coroutine, fake)
    if type(fake.__code__) is types.CodeType:
        escaped("it has code whose parts it chose")
        attempt(types.FunctionType(fake.__code__, {}), 1, 2)
