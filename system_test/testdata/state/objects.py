# Instances of some number, which are not remembered one by one: what has other holders stays one.
import weakref


class P:
    def __init__(self, i):
        self.i, self.name, self.at = i, f"p{i}", (i, [i])

    def all(self):
        return self.i, self.name, self.at

    def after(self, other):
        self.next = other
        return self


class Q(P):
    kind = "q"

    def __init__(self, i):
        super().__init__(i)
        self.child = P(-i)


class Named(type):
    def __hash__(cls):
        return 1

    def __eq__(cls, other):
        return cls is other


class R(metaclass=Named):
    def __init__(self, i):
        self.i = i


class Restored:
    def __init__(self, i):
        self.i = i

    def __setstate__(self, state):
        self.i = state["i"] + 1


class Slotted:
    __slots__ = ("i", "__dict__")

    def __init__(self, i):
        self.i, self.j = i, i


def many(kind):
    return [kind(i) for i in range(300)]


def of_nobody():
    class Local:
        def __init__(self, i):
            self.i = i

    return many(Local)


def everything(objects):
    return [p.all() for p in objects]


alone, below, metaclassed, restored, slotted = many(P), many(Q), many(R), many(Restored), many(Slotted)
hidden = of_nobody()
named = many(P)
third = named[3]
part = named[4].at[1]
again = many(P)
again += [again[0], again[1]]
weak = many(P)
seen = weakref.ref(weak[5])
by_weakness = weakref.WeakKeyDictionary({weak[6]: "six"})
twins = many(P)
twins[0].__dict__ = twins[1].__dict__
names = twins[2].__dict__
knot = many(P)
knot[4].all_of_them = knot
knot[5].itself = knot[5]
odd = many(P)
odd[7].__dict__[7] = "no name"
odd[8].__dict__.clear()
odd[9].__dict__ = {"only": [1]}
keyed = {p: p.i for p in many(P)}
one = P(1)
one.rest = many(P)
made = [object.__new__(P) for i in range(300)]
kinds = [type(f"K{i}", (), {"i": i}) for i in range(100)]
of_many_kinds = [kinds[i % 100]() for i in range(600)]
chain = P(-1)
for i in range(400):
    chain = P(i).after(chain)
# --- after ---
assert everything(alone) == everything(many(P)) and {type(p) for p in alone} == {P}
assert list(vars(alone[0])) == ["i", "name", "at"]
alone[0].at[1].append(1)
assert alone[1].at == (1, [1]) and alone[0].at == (0, [0, 1])
assert everything(below) == everything(many(Q)) and below[9].child.all() == P(-9).all() and below[0].kind == "q"
assert [r.i for r in metaclassed] == list(range(300)) and type(metaclassed[0]) is R
assert [r.i for r in restored] == list(range(2, 302))  # it has moved twice
assert [(s.i, s.j) for s in slotted] == [(i, i) for i in range(300)]
assert [p.i for p in hidden] == list(range(300)) and type(hidden[0]) is type(hidden[299])
assert third is named[3] and part is named[4].at[1]
assert again[-2] is again[0] and again[-1] is again[1]
assert seen() is weak[5] and by_weakness == {weak[6]: "six"}
assert twins[0].__dict__ is twins[1].__dict__ and names is twins[2].__dict__
assert knot[4].all_of_them is knot and knot[5].itself is knot[5]
assert odd[7].__dict__[7] == "no name" and vars(odd[8]) == {} and vars(odd[9]) == {"only": [1]}
assert {p.i: i for p, i in keyed.items()} == {i: i for i in range(300)} and all(keyed[p] == p.i for p in keyed)
assert one.i == 1 and everything(one.rest) == everything(many(P))
assert {type(p) for p in made} == {P} and all(vars(p) == {} for p in made)
assert [type(p) for p in of_many_kinds] == [kinds[i % 100] for i in range(600)] and of_many_kinds[599].i == 99
for i in reversed(range(400)):
    assert chain.i == i
    chain = chain.next
