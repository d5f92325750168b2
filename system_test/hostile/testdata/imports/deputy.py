import pickle, importlib, encodings
for f in (lambda: pickle.loads(b"cposix\nsystem\n(Vtouch " + DIR.encode() + b"/deputy\ntR."),
          lambda: importlib.import_module("posix").system("touch " + DIR + "/deputy"),
          lambda: b"x".decode("posix"),
          lambda: encodings.search_function("ctypes")):
    attempt(f)
