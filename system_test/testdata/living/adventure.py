# A world of rooms, things and creatures that refer to each other, with a random of its own.
import enum
import random


class Way(enum.Enum):
    NORTH = "n"
    EAST = "e"

    @property
    def back(self):
        return {Way.NORTH: "s", Way.EAST: "w"}[self]


class Thing:
    def __init__(self, name, weight):
        self.name, self.weight, self.place = name, weight, None

    def move(self, place):
        if self.place is not None:
            self.place.things.remove(self)
        self.place = place
        place.things.append(self)
        return self


class Place:
    def __init__(self, name):
        self.name, self.ways, self.things, self.seen = name, {}, [], 0

    def join(self, way, other):
        self.ways[way.value], other.ways[way.back] = other, self


class Creature(Thing):
    def __init__(self, name, mood):
        super().__init__(name, 70)
        self.things, self.mood, self.log = [], mood, []

    def turn(self, world):
        return self.mood(self, world)


class World:
    def __init__(self, size, seed):
        self.random = random.Random(seed)
        self.places = [[Place(f"{x},{y}") for y in range(size)] for x in range(size)]
        for x, row in enumerate(self.places):
            for y, place in enumerate(row):
                if y + 1 < size:
                    place.join(Way.NORTH, row[y + 1])
                if x + 1 < size:
                    place.join(Way.EAST, self.places[x + 1][y])
        self.hooks = []
        self.creatures = [Creature("thief", thief), Creature("walker", wander(3))]
        for i, creature in enumerate(self.creatures):
            creature.move(self.places[i][i])
        for i in range(20):
            Thing(f"thing {i}", i).move(self.random.choice(self.random.choice(self.places)))

    def turn(self):
        told = [creature.turn(self) for creature in self.creatures]
        for hook in self.hooks:
            told.append(hook(self))
        return told


def go(creature, world):
    way = world.random.choice(sorted(creature.place.ways))
    creature.move(creature.place.ways[way])
    creature.place.seen += 1
    creature.log.append(way)


def thief(creature, world):
    here = [t for t in creature.place.things if t is not creature and not isinstance(t, Creature)]
    if here and world.random.random() < 0.7:
        return "takes", here[0].move(creature).name
    if creature.things and world.random.random() < 0.3:
        return "drops", creature.things[-1].move(creature.place).name
    go(creature, world)
    return "goes", creature.place.name


def wander(rest):
    tired = 0

    def mood(creature, world):
        nonlocal tired
        tired += 1
        if tired % rest == 0:
            return "rests", tired
        go(creature, world)
        return "goes", creature.place.name

    return mood


world = World(8, seed=5)
world.hooks.append(lambda w: sum(p.seen for row in w.places for p in row))


def step(i):
    return world.turn() + [[t.name for t in world.creatures[0].things], "".join(world.creatures[1].log[-5:])]
