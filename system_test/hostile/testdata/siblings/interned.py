import sys
class Str(str): pass
for i in range(100000):
    sys.intern("hostile%d" % i)
attempt(sys.intern, Str("VALUE"))
attempt(lambda: "VALUE".__hash__)
