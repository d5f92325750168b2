import importlib.machinery
def long(n): return n.to_bytes(4, "little")
def text(s): return b"z" + bytes([len(s)]) + s
def data(b): return b"s" + long(len(b)) + b
empty = b")\0"
raw = (b"c" + long(0) * 3 + long(1) + long(3) + data(b"\x54\xff" * 200) + empty + empty + empty + data(b"")
       + text(b"f") * 3 + long(1) + data(b"") + data(b""))
import importlib.util
class Loader(importlib.machinery.SourcelessFileLoader):
    def get_data(self, path):
        return importlib.util.MAGIC_NUMBER + bytes(12) + raw
code = attempt(Loader("evil", "/evil.pyc").get_code, "evil")
if code: exec(code)
