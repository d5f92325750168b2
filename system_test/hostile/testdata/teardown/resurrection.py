import gc, sys, weakref
class Phoenix:
    born = 0
    def __del__(self):
        Phoenix.born += 1
        if Phoenix.born < 10000: Phoenix()
        ashes.append(self)
ashes = []
sys.modules["phoenix"] = Phoenix()
for _ in range(100):
    p = Phoenix(); p.me = p
del p
weakref.finalize(ashes.__class__, lambda: open(SECRET))  if False else None
