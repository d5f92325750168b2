import sys
for name in ("_getframe", "_getframemodulename", "_current_frames", "_current_exceptions", "_getcallingcode"):
    found = attempt(lambda: getattr(sys, name)())
    if found is not None and hasattr(found, "f_back"):
        while found.f_back: found = found.f_back
        steal(lambda: found.f_builtins["open"](SECRET))
