import importlib.machinery, json, sys
class Name(str):
    def __eq__(self, other): return True
    __hash__ = str.__hash__
for name in ("json", Name("json")):
    spec = importlib.machinery.ModuleSpec(name, None, origin="/usr/lib/python3/_ctypes.so")
    attempt(lambda: sys.modules["_imp"].create_dynamic(spec))
    spec.name = "_ctypes"
    attempt(lambda: sys.modules["_imp"].create_builtin(spec))
    attempt(lambda: sys.modules["_imp"].create_dynamic(spec))
library, imp = json.__file__.rpartition("/json/")[0], sys.modules["_imp"]
for last in ("_dbm", "_ctypes", "_posixshmem", "_socket"):
    for suffix in imp.extension_suffixes():
        spec = importlib.machinery.ModuleSpec("json." + last, None, origin=library + "/lib-dynload/" + last + suffix)
        module = attempt(imp.create_dynamic, spec)
        if module:
            attempt(imp.exec_dynamic, module)
            attempt(lambda: module.open(DIR + "/renamed_spec", "c"))
            attempt(lambda: module.shm_open("/" + DIR.rpartition("/")[2], 0o102))
