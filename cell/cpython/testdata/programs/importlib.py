import importlib, importlib.abc, importlib.machinery, importlib.metadata, importlib.resources, importlib.util, pkgutil, sys, types
for name in ("json", "json.decoder", "sys", "encodings.cp437", "no_such", "math", "codecs", "zipimport", "os"):
    s = importlib.util.find_spec(name)
    print(name, s and (s.name, s.parent, s.has_location, type(s.loader).__name__ if not isinstance(s.loader, type) else s.loader.__name__))
print([m.name for m in pkgutil.iter_modules(importlib.import_module("json").__path__)], len(list(pkgutil.iter_modules())) > 150)
print(importlib.machinery.all_suffixes()[-2:], [f.__name__ for f in sys.meta_path], len(sys.path), len(sys.path_hooks))
print(importlib.reload(importlib.import_module("textwrap")).__name__, importlib.resources.files("json").joinpath("decoder.py").is_file(), pkgutil.get_data("json", "scanner.py")[:3])
print(sorted(n for n in sys.path_importer_cache)[0].rpartition("/")[2], type(list(sys.path_importer_cache.values())[0]).__name__)
class F(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        return importlib.machinery.ModuleSpec(name, self) if name == "virtual" else None
    def exec_module(self, m): m.x = 5
sys.meta_path.insert(0, F())
import virtual
print(virtual.x, virtual.__spec__.name)
lazy = importlib.util.LazyLoader.factory(importlib.machinery.SourceFileLoader)
from importlib import _bootstrap
print(_bootstrap.__name__, importlib.machinery.BuiltinImporter is _bootstrap.BuiltinImporter, importlib.machinery.PathFinder.__module__)
try:
    importlib.metadata.version("no-such-dist")
except importlib.metadata.PackageNotFoundError as e:
    print(e)
