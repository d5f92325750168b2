import sys
try:
    sys.nothing
except AttributeError as e:
    print(e, e.name, e.obj is sys)
print("__getattr__" in vars(sys), sys.path_hooks[-1].__name__.split(".")[-1], sys.modules["__main__"].__name__)
print(sys.getdefaultencoding(), sys.getfilesystemencoding(), sys.stdout.encoding is not None, sys.flags.isolated, sys.flags.utf8_mode)
print("é".encode(), ascii("é"), sys.intern("x"), sys.version_info[:2])
