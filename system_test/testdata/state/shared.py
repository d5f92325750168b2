# Objects whose __dict__ is another's, too, and views of what others have.
import collections
import types


class Borg:
    _shared = {}

    def __init__(self):
        self.__dict__ = self._shared


class Slotted:
    __slots__ = ("a", "__dict__")


class AttrDict(dict):
    def __init__(self, **items):
        super().__init__(items)
        self.__dict__ = self


class OrderedAttr(collections.OrderedDict):
    def __init__(self):
        super().__init__()
        self.__dict__ = self


class Hashed:
    def __init__(self, name):
        self.name = name

    def __hash__(self):
        return hash(self.name)

    def __eq__(self, other):
        return self.name == other.name


class Plain: ...


one, two = Borg(), Borg()
cfg, ordered = AttrDict(x=1), OrderedAttr()
ordered["y"] = 2
held = Plain()
names = vars(held)
held.me, held.v = held, 1
slotted = Slotted()
slotted.a, slotted.__dict__ = [1], names
hashed = Hashed("h")
hashed.__dict__ = mine = dict(name="h")
mine["in"] = {hashed}
counting = Plain()
counting.__dict__ = collections.Counter(v=1)
alone = [Plain() for i in range(3)]
for i, each in enumerate(alone):
    each.i = i
# --- after ---
one.v = 1
assert two.v == 1 and Borg().v == 1 and vars(one) is Borg._shared and Borg._shared == {"v": 1}
assert cfg.x == cfg["x"] == 1 and vars(cfg) is cfg and ordered.y == 2 and vars(ordered) is ordered
cfg.z = 3
assert cfg["z"] == 3
held.v = 2
assert names["v"] == 2 and names["me"] is held and slotted.v == 2 and slotted.a == [1] and vars(slotted) is names
assert Hashed("h") in mine["in"] and hashed in mine["in"] and vars(hashed) is mine
assert type(vars(counting)) is collections.Counter and counting.v == 1
assert [each.i for each in alone] == [0, 1, 2] and vars(alone[0]) is not vars(alone[1])
