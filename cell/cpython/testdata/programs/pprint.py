import pprint, reprlib
data = {"key%d" % i: list(range(i * 4)) for i in range(5)}
pprint.pprint(data, width=40, compact=True)
print(pprint.saferepr([1]), reprlib.repr(list(range(100))), reprlib.Repr(maxstring=10).repr("x" * 50))
