import sys, types
fake = types.ModuleType("os")
fake.fspath = lambda p: SECRET
for name in ("os", "posix", "io", "_io"):
    sys.modules[name] = fake
random = attempt(__import__, "random")
steal(lambda: random._os.open(SECRET, 0))
steal(lambda: open(SECRET))
