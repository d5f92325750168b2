import sys
def depth(tb):
    n = []
    while tb:
        n.append(tb.tb_frame.f_code.co_filename.rpartition("/")[2]); tb = tb.tb_next
    return n
for _ in range(2):
    try:
        import no_such_thing
    except ModuleNotFoundError as e:
        print(e, e.name, e.path, len(depth(e.__traceback__)))
try:
    import os.nope
except ModuleNotFoundError as e:
    print(e, len(depth(e.__traceback__)))
try:
    from math import nope
except ImportError as e:
    print(e)
