# A state of about 10 MiB as programs have it, a third of the objects that it would be of each kind
# alone: rows, text, instances, and a block of bytes.
rows = [{"id": i, "name": f"row {i}", "score": i / 3, "tags": ["a", "b"]} for i in range(48_000)]
words = {f"word {i}": [f"next {j}" for j in range(i, i + 8)] for i in range(16_000)}


class P:
    def __init__(self, i):
        self.i, self.name, self.at = i, f"p{i}", (i, i)


ps = [P(i) for i in range(48_000)]
blob = bytes(range(256)) * 8_192
