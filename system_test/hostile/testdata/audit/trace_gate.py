import sys, threading
def trace(frame, event, arg):
    for name in ("name", "spec", "path"):
        if name in frame.f_locals: frame.f_locals[name] = SECRET
    if event.startswith("c_") and callable(arg):
        attempt(lambda: arg("posix"))
    return trace
sys.setprofile(trace)
attempt(__import__, "wave")
sys.setprofile(None)
sys.settrace(trace)
attempt(__import__, "colorsys")
steal(lambda: open("/dev/null"))
sys.settrace(None)
attempt(threading.setprofile_all_threads, trace)
