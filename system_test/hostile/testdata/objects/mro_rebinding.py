class Path(str):
    def __fspath__(self): return SECRET
    def __eq__(self, other): return True
    __hash__ = str.__hash__
steal(lambda: open(Path("/dev/null")))
class Other:
    def __fspath__(self): return SECRET
steal(lambda: open(Other()))
