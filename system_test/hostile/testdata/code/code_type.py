kind = type((lambda: 0).__code__)
code = attempt(kind, 0, 0, 0, 0, 1, 0, b"\x00" * 64, (), (), (), "x", "x", "x", 1, b"", b"")
if code: exec(code)
