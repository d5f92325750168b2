# Stands in for importlib._bootstrap until an interpreter imports something that
# it does not have yet; then wake.py puts the real one in this module's place.
# CPython calls the functions below, in this order: _install,
# _install_external_importers, _find_and_load("encodings"), the codec search,
# _find_and_load("_io"). It looks for BuiltinImporter when it makes __main__. Of _io it
# only wants open(), since a cell's thread has no standard streams then.


class BuiltinImporter:
    pass


def _install(sys, imp):
    names = globals()
    modules = sys.modules
    scope = {"sys": sys, "_imp": imp, "names": names, "__builtins__": names["__builtins__"]}
    own = scope["own"] = {}
    waking = False
    codecs = None

    def builtin(name):
        module = imp.create_builtin(type(sys.implementation)(name=name))
        imp.exec_builtin(module)
        modules[name] = module
        return module

    # An interrupt may stop wake.py anywhere; it then runs again, from its start.
    def wake():
        nonlocal waking
        if "find" not in scope:
            waking = True
            try:
                exec(imp.get_frozen_object("_start_wake"), scope)
            finally:
                waking = False
        return scope["find"]

    def find(name, import_):
        if waking:
            return scope["inner"](name, import_)
        if "__main__" not in modules and "find" not in scope:  # CPython is still at it
            if name == "encodings":
                return start_codecs()
            if name == "_io":
                return start_io()
            if name == "zipimport":
                raise ImportError(name)
        return wake()(name, import_)

    def missing(name):
        if not waking:
            wake()
        if name in names:
            return names[name]
        raise AttributeError(f"module '_frozen_importlib' has no attribute {name!r}")

    # What import owns in sys comes with it: nobody shall see it half set up.
    def hide():
        for name in ("meta_path", "path_hooks", "path_importer_cache"):
            sys.__dict__.pop(name, None)
        sys.__getattr__ = sys_getattr
        sys.__dir__ = sys_dir

    def sys_getattr(name):
        wake()
        return getattr(sys, name)

    def sys_dir():
        wake()
        return list(sys.__dict__)

    def start_codecs():
        nonlocal codecs
        codecs = builtin("_codecs")
        codecs.register(search)
        module = modules["encodings"] = type(sys)("encodings")
        return module

    def search(name):
        if name != "utf_8":
            wake()
            return codecs.lookup(name)
        if "__main__" not in modules:
            modules.pop("encodings", None)
            hide()
        return UTF8((codecs.utf_8_encode, decode, None, None))

    def decode(data, errors="strict"):
        return codecs.utf_8_decode(data, errors, True)

    class UTF8(tuple):
        name = "utf-8"
        _is_text_encoding = True

    # Making the real one is dear, and most cells open nothing. frozen.c makes open() a
    # built-in function, as it ought to be.
    def start_io():
        module = scope["stub"] = modules["_io"] = type(sys)("_io")
        module.open = None
        module.__getattr__ = real_io
        return module

    def real_io(name):
        wake()
        return getattr(modules["_io"], name)

    names["_find_and_load"] = find
    names["__getattr__"] = missing
    for name in ("BuiltinImporter", "_install", "_install_external_importers",
                 "_find_and_load", "__getattr__"):
        own[name] = names[name]
    scope.update(hide=hide, search=search, builtin=builtin)


def _install_external_importers():
    pass
