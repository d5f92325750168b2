# Classes that answer for any attribute.
import copyreg


class Wrapper:
    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        return getattr(self._inner, name)


class Stub:
    def __init__(self, url):
        self.url = url

    def __getattr__(self, method):
        return lambda *a: (self.url, method, a)


class Slotted:
    __slots__ = ("target",)

    def __getattr__(self, name):
        return getattr(self.target, name)


class Saved(Stub):
    def __getstate__(self):
        return {"url": self.url, "saved": 1}


class Total:
    def __init__(self, target):
        object.__setattr__(self, "target", target)

    def __getattribute__(self, name):
        return getattr(object.__getattribute__(self, "target"), name)


class Registered:
    def __init__(self, v):
        self.v = v

    def __hash__(self):
        return 1


copyreg.pickle(Registered, lambda obj: (Registered, (obj.v + 1,)))

wrapper, stub, saved, total, registered = Wrapper([1, 2]), Stub("/a"), Saved("/b"), Total([1]), Registered(1)
slotted = Slotted()
slotted.target = wrapper
same = object.__getattribute__(total, "target")
# --- after ---
assert wrapper.count(1) == 1 and wrapper._inner == [1, 2] and slotted.index(2) == 1 and slotted.target is wrapper
assert stub.url == "/a" and stub.ping(1) == ("/a", "ping", (1,)) and list(vars(stub)) == ["url"]
assert vars(saved) == {"url": "/b", "saved": 1}
total.append(5)
assert same == [1, 5] and type(total) is Total
assert registered.v >= 2
