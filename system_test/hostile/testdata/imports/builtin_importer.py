import types
importer = [c for c in object.__subclasses__() if c.__name__ == "BuiltinImporter"][0]
for name in ("posix", "_posixsubprocess", "_ctypes", "_interpreters"):
    module = attempt(lambda: importer.load_module(name))
    made = attempt(importer.create_module, types.SimpleNamespace(name=name))
    for m in (module, made):
        if m:
            attempt(lambda: importer.exec_module(m))
            attempt(lambda: m.system("touch " + DIR + "/builtin_importer"))
