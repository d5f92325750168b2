import gc
def source():
    for thing in gc.get_objects():
        if type(thing) is tuple and len(thing) == 7:
            attempt(lambda: [repr(x) for x in thing])
    yield 1
for _ in range(7):
    attempt(lambda: tuple(x for _ in range(7) for x in source()))
