# Puts the real import system where start.py stood, at the first import that needs
# it. It runs in start.py's scope. Interrupts may end it between any two calls, its
# handlers too, so it undoes nothing: until `find` is set, the last step, the module
# goes on calling start.py, which runs this again.

# What import itself is made of. The names stand here because a cell's import gate
# lets library code have the modules that its own text names.
posix = marshal = _io = _warnings = _weakref = _thread = _frozen_importlib_external = None


class Names(dict):
    """Where importlib's definitions go: into its module, but for start.py's own."""

    def __setitem__(self, name, value):
        dict.__setitem__(self, name, value)
        if name not in own:
            names[name] = value


def late_search(name):
    if "encodings" in sys.modules:  # it has registered its own
        return None
    import encodings

    return encodings.search_function(name)


# zipimport is rarely wanted; plain CPython loads it at start.
def zip_hook(path):
    if names["_bootstrap_external"]._path_isdir(path):
        raise ImportError("a directory", path=path)
    from zipimport import zipimporter

    hooks = sys.path_hooks
    if zip_hook in hooks:
        hooks[hooks.index(zip_hook)] = zipimporter
    return zipimporter(path)


if "fresh" not in globals():
    made = Names()
    exec(_imp.get_frozen_object("_start_importlib"), names, made)
    fresh = made

names.update({name: fresh[name] for name in own if name in fresh and name != "_find_and_load"})
names["__origname__"] = "_frozen_importlib"  # CPython's mark; _install takes it off
inner = fresh["_find_and_load"]
if sys.modules.get("_io") is stub:
    builtin("_io")
if sys.modules["builtins"].open is stub.open:
    sys.modules["builtins"].open = sys.modules["_io"].open
try:
    for name in ("__getattr__", "__dir__"):
        sys.__dict__.pop(name, None)
    sys.meta_path, sys.path_hooks, sys.path_importer_cache = [], [], {}
    sys.modules.pop("_frozen_importlib_external", None)
    fresh["_install"](sys, _imp)
    fresh["_install_external_importers"]()
    sys.path_hooks.insert(0, zip_hook)
except BaseException:
    hide()
    raise

codecs = sys.modules["_codecs"]
codecs.register(late_search)
codecs.unregister(search)  # also forgets what it answered

main = sys.modules.get("__main__")
if getattr(main, "__loader__", None) is own["BuiltinImporter"]:
    main.__loader__ = fresh["BuiltinImporter"]

find = inner
# Who wrapped start.py's function meanwhile goes on to wrap the real one.
if names["_find_and_load"] is own["_find_and_load"]:
    names["_find_and_load"] = find
for name in ("__getattr__", "__origname__"):
    names.pop(name, None)
