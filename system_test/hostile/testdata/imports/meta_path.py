import sys
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        steal(lambda: open(SECRET))
        return None
sys.meta_path.insert(0, Finder)
sys.path_hooks.insert(0, lambda path: steal(lambda: open(SECRET)))
sys.path.insert(0, DIR)
sys.path_importer_cache.clear()
attempt(__import__, "hostile_module")
attempt(__import__, "wave")
