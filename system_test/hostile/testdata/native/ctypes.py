for name in ("ctypes", "_ctypes", "ctypes.util", "ctypes.macholib", "uuid"):
    module = attempt(__import__, name)
    if module: attempt(lambda: module.CDLL(None).system(b"touch " + DIR.encode() + b"/ctypes"))
attempt(lambda: module.string_at(0))
