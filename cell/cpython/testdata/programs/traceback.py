import sys, traceback, linecache
def boom(n):
    if n: boom(n - 1)
    raise ValueError("bad")
try:
    try:
        boom(2)
    except ValueError as e:
        raise KeyError("k") from e
except KeyError:
    print(traceback.format_exc())
try:
    import json
    json.loads("[")
except ValueError as e:
    print([f.name for f in traceback.extract_tb(e.__traceback__)], traceback.format_exception_only(e))
try:
    import no_such_module_x
except ImportError as e:
    print([f.filename for f in traceback.extract_tb(e.__traceback__)], e, e.name)
try:
    raise ExceptionGroup("g", [TypeError(1), ValueError(2)])
except* TypeError as g:
    print(g.exceptions)
except* ValueError as g:
    print(g.exceptions)
