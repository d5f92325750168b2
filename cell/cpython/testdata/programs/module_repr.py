import sys
print(repr(sys), sys)
import math, _io
print(repr(_io), repr(sys.modules["builtins"]), repr(type(sys)("x")))
import json, importlib.machinery, importlib.util
print(repr(json).replace(json.__file__, "FILE"), importlib.util.find_spec("sys"), sys.__spec__, sys.__loader__)
print(repr(sys.modules["__main__"]).split()[1], __name__, __spec__, __loader__ is importlib.machinery.BuiltinImporter)
