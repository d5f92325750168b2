import importlib
for name in ("os", "posix", "ctypes", "_ctypes", "subprocess", "_posixsubprocess", "socket", "_socket"):
    module = attempt(importlib.import_module, name) or attempt(importlib.__import__, name)
    if module:
        attempt(lambda: module.system("touch " + DIR + "/importlib"))
        tell(repr(attempt(lambda: module.open(SECRET, 0))))
