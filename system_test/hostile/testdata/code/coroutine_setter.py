import functools, itertools, operator, types
def generator(): yield 1
made = []
evil = functools.partial(generator.__code__.replace, co_consts=(), co_names=(), co_stacksize=0, co_code=b"\x54\xff" * 200)
class Code:
    def __get__(self, owner, kind=None): return generator.__code__
    __set__ = staticmethod(operator.contains)
class Function:
    __class__ = types.FunctionType
    __code__ = Code()
    __iter__ = staticmethod(map(made.append, itertools.islice(iter(evil, None), 1)).__iter__)
    def __call__(self): pass
attempt(types.coroutine, Function())
for code in made:
    escaped("it has code whose parts it chose")
    list(types.FunctionType(code, {})())
