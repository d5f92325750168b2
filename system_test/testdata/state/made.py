# Classes derived from what C code of the library makes and has a state of, or whose hooks say what is carried.
import io, socket, queue, xml.etree.ElementTree as ET
class B(io.BytesIO):
    __slots__ = ("s",)
class B2(io.BytesIO):
    def __init__(self, a, b): super().__init__(a); self.b = b
class S(io.StringIO): pass
b = B(b'abc'); b.s = [b]; b.read(1)
b2 = B2(b"abc", 5); b2.me = b2; b2.seek(2)
s = S("x\ny"); s.readline(); s.own = 1
class E(ET.Element):
    def __init__(self, *a, **k): super().__init__(*a, **k); self.x = 1
e = E('tag', {'a': 'b'}); e.text = 'hi'; e.append(ET.Element('sub'))
class Q(queue.SimpleQueue):
    def __checkpoint__(self): return [self.get(), self.get()]
    def __restore__(self, items):
        for i in items: self.put(i)
q = Q(); q.put(1); q.put(2); 
class Sock(socket.socket):
    def __checkpoint__(self): return 5
    def __restore__(self, n): self.n = n
k = Sock.__new__(Sock)
class N:
    __new__ = object.__new__
    def __getattr__(self, name): raise AttributeError(name)
n = N(); n.x = 1
class T(tuple):
    __new__ = tuple.__new__
    def __checkpoint__(self): return 1
    def __restore__(self, s): pass
class D(dict):
    def __checkpoint__(self): return dict(self)
    def __restore__(self, s): self.update(s)
t, d = T([1]), D(a=1)
import typing
TT = typing.TypeVar('TT')
class Gn(typing.Generic[TT]): pass
gn = Gn[int]()
class Rio(io.RawIOBase):
    def __init__(self): self.q = 1
r = Rio()
# --- after ---
assert b.s == [b] and b.read() == b"bc" and b2.b == 5 and b2.me is b2 and b2.read() == b"c"
assert s.read() == "y" and s.own == 1
assert e.tag == "tag" and e.text == "hi" and len(e) == 1 and e.get("a") == "b" and e.x == 1
assert q.get() == 1 and q.get() == 2 and k.n == 5
assert t == (1,) and d == {'a': 1} and type(d) is D and type(gn) is Gn and r.q == 1
assert n.x == 1
