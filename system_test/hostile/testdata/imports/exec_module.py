import json
import pyisolate_guest
imp = pyisolate_guest._sys.modules["_imp"]
kind, Loader, library = type(json), type(json.__spec__.loader), json.__file__.rpartition("/json/")[0]
class Posing(Loader):
    def get_filename(self, name=None): return self.path
def load(name, path):
    module = kind(name)
    for loader in (Loader(name, path), Posing("json", path)):
        attempt(loader.exec_module, module)
        if len(vars(module)) > 10: return module
for name, path in (("sqlite3", "/sqlite3/__init__.py"), ("sqlite3", "/json/../sqlite3/__init__.py"), ("sqlite3", "//sqlite3/__init__.py")):
    module = load(name, library + path)
    if module: attempt(lambda: module.connect("file:" + DIR + "/exec_module"))
    if module: attempt(lambda: module.connect(":memory:").execute("attach '%s/exec_module' as x" % DIR).execute("create table x.t(a)"))
for name in ("os", "runpy"):
    scope = {"__name__": name, "__builtins__": __builtins__}
    attempt(lambda: exec(imp.get_frozen_object(name), scope))
    attempt(lambda: tell("has " + repr(scope["open"](SECRET, 0))))
socket = load("socket", library + "/socket.py")
if socket: attempt(lambda: socket.create_connection(("127.0.0.1", TCP)))
