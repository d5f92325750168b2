import array, io, mmap
b = bytearray(64)
m = memoryview(b)
attempt(b.extend, bytes(10000))
attempt(b.clear)
m.release()
attempt(lambda: m[0])
a = array.array("Q", [1] * 8)
v = memoryview(a)
attempt(a.append, 3)
del a
attempt(lambda: v[7])
raw = io.BytesIO(b"x" * 64)
w = raw.getbuffer()
attempt(raw.close)
attempt(raw.truncate, 0)
class Index:
    def __index__(self):
        attempt(p.close)
        return 0
p = mmap.mmap(-1, 4096)
attempt(lambda: p[Index()])
attempt(lambda: p.__setitem__(slice(Index(), 4096), b"x" * 4096))
