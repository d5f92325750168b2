# pickle: a state of 10 MiB into a file, and on the disk.
import gc, json, os, pickle, sys, tempfile, time

rows = [{"id": i, "name": f"row {i}", "score": i / 3, "tags": ["a", "b"]} for i in range(48_000)]
words = {f"word {i}": [f"next {j}" for j in range(i, i + 8)] for i in range(16_000)}


class P:
    def __init__(self, i):
        self.i, self.name, self.at = i, f"p{i}", (i, i)


ps = [P(i) for i in range(48_000)]
blob = bytes(range(256)) * 8_192
n = int(sys.argv[1])
gc.disable()
samples = []
with tempfile.TemporaryDirectory() as where:
    for i in range(n + 1):
        begun = time.perf_counter()
        with open(os.path.join(where, "state"), "wb") as out:
            pickle.dump((rows, words, ps, blob), out, 5)
            out.flush()
            os.fsync(out.fileno())
        samples.append((time.perf_counter() - begun) * 1e3)
print(json.dumps(samples[1:]))
