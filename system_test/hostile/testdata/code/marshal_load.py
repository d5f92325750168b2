import sys, threading
def long(n): return n.to_bytes(4, "little")
def text(s): return b"z" + bytes([len(s)]) + s
def data(b): return b"s" + long(len(b)) + b
empty = b")\0"
raw = (b"c" + long(0) * 3 + long(1) + long(3) + data(b"\x54\xff" * 200) + empty + empty + empty + data(b"")
       + text(b"f") * 3 + long(1) + data(b"") + data(b""))
class File:
    def __init__(self): self.rest = raw
    def read(self, n): return b""
    def readinto(self, room):
        room[:], self.rest = self.rest[:len(room)], self.rest[len(room):]
        return len(room)
load = sys.modules["marshal"].load
out = []
out.append(attempt(load, File()))
attempt(sys.stdout.writelines, map(out.append, map(load, [File()])))
found = map(out.append, map(load, [File()]))
thread = attempt(threading._start_joinable_thread, found.__next__, daemon=False)
if thread: thread.join()
for code in filter(None, out):
    escaped("it has code that marshal.load made")
    exec(code)
