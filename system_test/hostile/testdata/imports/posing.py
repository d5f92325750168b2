import json
texts = ["import os\nos.system('touch %s/posing')" % DIR]
for name in ("<frozen os>", json.__file__, "<pyisolate>", "<frozen importlib._bootstrap>"):
    attempt(lambda: exec(compile(texts[0], name, "exec")))
    attempt(lambda: exec(texts[0], {"__name__": "json", "__file__": name, "__builtins__": __builtins__}))
def f():
    import os
    os.system("touch %s/posing" % DIR)
attempt(lambda: setattr(f, "__code__", f.__code__.replace(co_filename=json.__file__)))
attempt(f)
import pyisolate_guest
rename = pyisolate_guest._sys.modules["_imp"]._fix_co_filename
def g():
    def h():
        import posix
        posix.open("%s/posing" % DIR, posix.O_CREAT)
        import subprocess, socket
        subprocess.run(["touch", "%s/posing" % DIR])
    h()
class Same(str):
    def __eq__(self, other): return True
    __hash__ = str.__hash__
for name in ("<frozen os>", json.__file__, "<pyisolate>", Same("<frozen os>")):
    attempt(rename, g.__code__, name)
    attempt(g)
