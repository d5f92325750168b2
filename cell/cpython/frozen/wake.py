# Puts the real import system where start.py stood. Runs once, at the first import
# that needs it, in a dict that holds start.py's state. Whatever stops it half-way
# (an interrupt, no memory) leaves the interpreter as it was, so it can run again.

# What import itself is made of. The names stand here because a cell's import gate
# lets library code have the modules that its own text names.
posix = marshal = _io = _warnings = _weakref = _thread = _frozen_importlib_external = None


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


asleep = dict(names)
wrapped = {name: names[name] for name in own if names.get(name) is not own[name]}
show()
try:
    for name in own:
        del names[name]
    exec(_imp.get_frozen_object("_start_importlib"), names)
    names["_install"](sys, _imp)
    names["_install_external_importers"]()
    sys.path_hooks.insert(0, zip_hook)
except BaseException:
    names.clear()
    names.update(asleep)
    sys.modules.pop("_frozen_importlib_external", None)
    hide()
    raise

find = names["_find_and_load"]
# Who wrapped our function goes on to wrap the real one.
names.update(wrapped)

codecs = sys.modules["_codecs"]
codecs.unregister(search)  # also forgets what it answered
codecs.register(late_search)

main = sys.modules.get("__main__")
if getattr(main, "__loader__", None) is own["BuiltinImporter"]:
    main.__loader__ = names["BuiltinImporter"]
