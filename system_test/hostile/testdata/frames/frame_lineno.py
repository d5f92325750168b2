import sys
def trace(frame, event, arg):
    if event == "line" and frame.f_code is victim.__code__:
        try: frame.f_lineno = frame.f_lineno + 3
        except ValueError: pass
    return trace
def victim():
    for x in (1, 2):
        with memoryview(b"x") as m:
            y = x
    return y
sys.settrace(trace)
attempt(victim)
sys.settrace(None)
