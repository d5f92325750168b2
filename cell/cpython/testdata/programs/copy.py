import copy
a = [1, [2, 3], {"k": (4,)}]
a.append(a)
b = copy.deepcopy(a)
print(b[3] is b, b[1] is not a[1], copy.copy(a)[1] is a[1])
class C:
    def __deepcopy__(self, memo):
        return "deep"
print(copy.deepcopy([C()]), copy.replace(type("N", (), {"__replace__": lambda s, **k: k})(), x=1))
