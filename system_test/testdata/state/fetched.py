# What an object hands over when it is pickled may be part of data that nothing else refers to.
class Handle:
    def __init__(self, i):
        self.i = i

    def __getstate__(self):
        return {"i": self.i, "row": table[self.i]}


table = [{"id": i, "name": f"row {i}"} for i in range(300)]
handles = [Handle(3), Handle(4)]
# --- after ---
assert [h.row["id"] for h in handles] == [3, 4]
assert handles[0].row is table[3] and handles[1].row is table[4]
