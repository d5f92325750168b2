import types
importer = [c for c in object.__subclasses__() if c.__name__ == "BuiltinImporter"][0]
for name in ("posix", "_posixsubprocess", "_ctypes", "_interpreters"):
    module = attempt(lambda: importer.load_module(name))
    made = attempt(importer.create_module, types.SimpleNamespace(name=name))
    for m in (module, made):
        if m:
            attempt(lambda: importer.exec_module(m))
            attempt(lambda: m.system("touch " + DIR + "/builtin_importer"))
import pyisolate_guest
modules = pyisolate_guest._sys.modules
kind = types.SimpleNamespace
class Twice:
    def __init__(self, name): self.names = ["types"] + [name] * 9
    name = property(lambda self: self.names.pop(0))
for imp in (attempt(modules["_frozen_importlib"].BuiltinImporter.create_module, kind(name="_imp")), modules["_imp"]):
    for spec in (kind(name="_posixshmem"), Twice("_posixshmem")):
        m = imp and attempt(imp.create_builtin, spec)
        if m: attempt(m.shm_open, "/" + DIR.rpartition("/")[2], 0o102)
