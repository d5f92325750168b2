# Plain data of some size, which is not remembered object by object: what has other holders stays one.
import functools
import weakref


class Node: ...


def rows():
    return [
        {"id": i, "name": f"row {i}", "at": (i, [i / 3, -(1 << 70)]), "raw": b"%d" % i, "buffer": bytearray(b"%d" % i), "is": [True, None, ""]}
        for i in range(40)
    ]


alone = rows()
named = rows()
inner = named[7]["at"][1]
instance, of_node = Node(), rows()
instance.row = of_node[5]
of_node[6]["node"] = instance
itself = rows()
itself[3]["all"] = itself
upward = rows()
upward[3]["row"] = upward[3]
twice = again = rows()
repeats = rows()
repeats += [repeats[0], repeats[1]["at"]]
sets = rows() + [{i, str(i)} for i in range(40)]
weak = weakref.ref(sets[-1])
frozen = rows()
frozen.append({(i, str(i)): frozenset([i]) for i in range(40)})
default = rows()
closed = rows()


def remember(row=default[1]):
    return row


def closing(row):
    return lambda: row


held_by_closure = closing(closed[2])
partial = functools.partial(len, closed[3]["at"])
key = "".join(["a ", "key"])
keyed = [{key: [i]} for i in range(300)]
keyed.append(key)
deep = rows()
for i in range(1000):
    deep = [deep, i]
wide = {f"{i}": {f"{j}": [i, j] for j in range(10)} for i in range(100)}
surrogates = ["\ud800%d" % i for i in range(300)]
mixed = [Node() if i % 10 == 0 else [i] for i in range(600)]
mixed[0].first = mixed[1]
whole = rows() + [Node()]
whole[-1].all = whole
constants = [[(), "", b"", (1, "a")] for i in range(300)]
# --- after ---
assert alone == rows() and [type(v) for v in alone[0].values()] == [type(v) for v in rows()[0].values()]
alone[0]["is"].append(1)
assert alone[1]["is"] == [True, None, ""] and list(alone[5]) == list(rows()[5])
inner.append("mine")
assert named[7]["at"][1][-1] == "mine" and named[8:] == rows()[8:]
assert instance.row is of_node[5] and of_node[6]["node"] is instance
assert itself[3]["all"] is itself and itself[4:] == rows()[4:]
assert upward[3]["row"] is upward[3]
assert twice is again and twice == rows()
assert repeats[-2] is repeats[0] and repeats[-1] is repeats[1]["at"]
assert weak() is sets[-1] and sets[-1] == {39, "39"} and sets[40] == {0, "0"}
assert frozen[-1][39, "39"] == {39}
assert remember() is default[1] and held_by_closure() is closed[2]
assert partial() == 2 and partial.args[0] is closed[3]["at"]
assert keyed[-1] is key and all(next(iter(row)) is key for row in keyed[:-1])
for i in reversed(range(1000)):
    deep, n = deep
    assert n == i
assert deep == rows()
assert wide["99"]["9"] == [99, 9] and len(wide) == 100
assert surrogates[299] == "\ud800299"
assert mixed[0].first is mixed[1] and whole[-1].all is whole and mixed[599] == [599]
assert constants == [[(), "", b"", (1, "a")]] * 300
