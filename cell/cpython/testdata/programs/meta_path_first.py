import sys
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.startswith("x_"): print("asked", name)
        return None
print(len(sys.meta_path), [f.__name__ for f in sys.meta_path], len(sys.path_hooks), type(sys.path_importer_cache).__name__)
sys.meta_path.insert(0, Finder)
try:
    import x_y
except ImportError as e:
    print(e)
print(hasattr(sys, "nothing"), "meta_path" in dir(sys), "__getattr__" in dir(sys))
