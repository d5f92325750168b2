class Meta(type):
    def __new__(m, n, b, d, **k): return super().__new__(m, n, b, {**d, "tag": n.lower()}, **k)
    def __init__(c, n, b, d, **k): pass
class A(metaclass=Meta):
    __slots__ = ("x",)
    def __init_subclass__(cls, **k): print("sub", cls.__name__, k)
class B(A, key=1):
    def __getattr__(self, n): return n * 2
    @property
    def p(self): return super().tag
print(B.tag, B().zz, B().p, B.__mro__[1].__name__)
match {"k": [1, 2, 3]}:
    case {"k": [first, *rest]}: print(first, rest)
print(f"{3.14159:.2f} {'x':>4}|{10:#x} {1e10:g}", *(x := [1, 2]), sep=",")
try:
    int("q")
except ValueError as e:
    e.add_note("note"); print(e.__notes__, e)
print(eval("1+1"), compile("1", "f", "eval").co_filename, sorted({3, 1}), bytes.fromhex("ff"), 2**100, round(2.5), -7 // 2)
print(input.__name__, type(open).__name__, __builtins__.__name__ if hasattr(__builtins__, "__name__") else "dict")
