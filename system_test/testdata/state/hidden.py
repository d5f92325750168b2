# Slots whose names are something else in the object's own class.
import collections


class A:
    __slots__ = ("x",)


class Twice(A):
    __slots__ = ("x",)


class Told(A):
    __slots__ = ()

    @property
    def x(self):
        return A.x.__get__(self) + 1


class Constant(A):
    x = 5


class Keyed(A):
    __slots__ = ("key",)
    x = 5

    def __hash__(self):
        return self.key

    def __eq__(self, other):
        return self is other


class Queue(collections.deque):
    __slots__ = ("x", "y")


class Named(Queue):
    x = property(lambda self: Queue.x.__get__(self))


class Failure(Exception):
    __slots__ = ("x",)


class Worse(Failure):
    x = property(lambda self: Failure.x.__get__(self))


def hold(made, kind, value):
    kind.x.__set__(made, value)
    return made


twice, told, constant, empty, worse = hold(Twice(), A, 1), hold(Told(), A, 1), hold(Constant(), A, 1), Constant(), hold(Worse("w"), Failure, 4)
twice.x = [twice]
constant.own = 6
keyed = Keyed()
keyed.key = 3
hold(keyed, A, {keyed})
named = Named([1])
hold(named, Queue, named)
named.y, named.z = 2, 3
# --- after ---
assert twice.x == [twice] and A.x.__get__(twice) == 1
assert told.x == 2
assert A.x.__get__(constant) == 1 and vars(constant) == {"own": 6} and constant.x == 5
assert vars(empty) == {} and empty.x == 5
assert keyed in A.x.__get__(keyed) and keyed.x == 5
assert named.x is named and (named.y, named.z, list(named)) == (2, 3, [1])
assert worse.x == 4 and worse.args == ("w",)
