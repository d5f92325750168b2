import atexit, sys
atexit.register(print, "at exit")
def f():
    try:
        sys.exit(3)
    except SystemExit as e:
        return e.code
print(f(), sys.exception(), sys.getrecursionlimit() > 100)
def deep(n): return deep(n + 1)
try:
    deep(0)
except RecursionError as e:
    print(e)
