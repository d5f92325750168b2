import sys
def hook(*args): steal(lambda: open(SECRET))
sys.excepthook = sys.unraisablehook = sys.displayhook = sys.breakpointhook = hook
class Bad:
    def __del__(self): raise ValueError
Bad()
attempt(breakpoint)
raise ValueError
