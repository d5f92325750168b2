import io, sys, tokenize
def trace(frame, event, arg):
    if frame.f_code.co_name == "open" or "filename" in frame.f_locals:
        frame.f_locals["filename"] = SECRET
    return trace
sys.settrace(trace)
file = attempt(tokenize.open, tokenize.__file__)
sys.settrace(None)
if file: tell(attempt(lambda: file.read(100)))
