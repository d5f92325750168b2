import sys
for thing in (None, True, 5, "", (), b"", "ab", int, type, NotImplemented, ...):
    attempt(setattr, thing, "value", 1)
    attempt(lambda: thing.__init__(9))
    attempt(lambda: thing.__setstate__({}))
    attempt(object.__setattr__, thing, "__class__", dict)
