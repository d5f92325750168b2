import importlib.machinery, sys
class Name(str):
    def __eq__(self, other): return True
    __hash__ = str.__hash__
for name in ("json", Name("json")):
    spec = importlib.machinery.ModuleSpec(name, None, origin="/usr/lib/python3/_ctypes.so")
    attempt(lambda: sys.modules["_imp"].create_dynamic(spec))
    spec.name = "_ctypes"
    attempt(lambda: sys.modules["_imp"].create_builtin(spec))
    attempt(lambda: sys.modules["_imp"].create_dynamic(spec))
