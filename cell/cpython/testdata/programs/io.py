import io
b = io.BufferedReader(io.BytesIO("zürich\r\nx".encode()))
t = io.TextIOWrapper(b, encoding="utf-8", newline=None)
print(t.readline(), t.tell() >= 0, t.read(), t.encoding, t.errors)
w = io.BytesIO()
o = io.TextIOWrapper(w, encoding="utf-16", write_through=True)
o.write("hé"); print(w.getvalue().hex())
o = io.TextIOWrapper(io.BytesIO(), "ascii", errors="replace"); o.write("é"); o.flush(); print(o.buffer.getvalue())
class R(io.RawIOBase):
    def readable(self): return True
    def readinto(self, m): m[:1] = b"x"; return 1
print(R().read(3), isinstance(w, io.IOBase), isinstance(t, io.TextIOBase), io.text_encoding(None), io.DEFAULT_BUFFER_SIZE)
d = io.IncrementalNewlineDecoder(None, True)
print(repr(d.decode("a\r")), repr(d.decode("\nb")), d.newlines)
try:
    io.StringIO().fileno()
except io.UnsupportedOperation as e:
    print(e)
