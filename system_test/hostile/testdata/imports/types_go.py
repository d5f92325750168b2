import sys
class Gone:
    __slots__ = ("names",)
    def __init__(self, names): self.names = names
    def __getattribute__(self, name):
        names = Gone.names.__get__(self)
        names["coroutine"] = None
        raise AttributeError(name)
class Types:
    pass
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "types":
            from importlib.machinery import ModuleSpec
            return ModuleSpec(name, self)
    def create_module(self, spec):
        made = Types()
        made.coroutine = Gone(made.__dict__)
        return made
    def exec_module(self, module): pass
sys.modules.pop("types", None)
sys.meta_path.insert(0, Finder())
attempt(__import__, "types")
kept = [bytearray(b"A" * 23) for _ in range(10_000)]
made = sys.modules.pop("types", None)
attempt(lambda: made.coroutine(4))
