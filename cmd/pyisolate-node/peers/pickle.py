# pickle: a state, which stands before this, into a file, and on the disk; or out of it.
import gc, json, os, pickle, sys, tempfile, time


def dump():
    with open(path, "wb") as out:
        pickle.dump((rows, words, ps, blob), out, 5)
        out.flush()
        os.fsync(out.fileno())


def load():
    with open(path, "rb") as source:
        pickle.load(source)


n, measured = int(sys.argv[1]), {"dump": dump, "load": load}[sys.argv[2]]
gc.disable()
samples = []
with tempfile.TemporaryDirectory() as where:
    path = os.path.join(where, "state")
    dump()
    for _ in range(n):
        begun = time.perf_counter()
        measured()
        samples.append((time.perf_counter() - begun) * 1e3)
print(json.dumps(samples))
