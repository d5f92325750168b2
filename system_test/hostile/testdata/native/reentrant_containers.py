class Evil:
    def __eq__(self, other):
        things.clear(); table.clear(); bag.clear()
        return False
    def __hash__(self): return 1
    def __lt__(self, other):
        things.clear()
        return True
    def __index__(self):
        things.clear(); array.clear() if hasattr(array, "clear") else None
        return 0
things = [Evil() for _ in range(50)]
table = {Evil(): 1}
bag = {Evil()}
array = bytearray(100)
for f in (lambda: things.index(1), lambda: things.sort(), lambda: table.get(Evil()), lambda: bag & {Evil()},
          lambda: things.remove(3), lambda: array.__setitem__(Evil(), Evil()), lambda: things.__setitem__(slice(0, 9), things),
          lambda: sorted(things), lambda: max(things), lambda: things == [Evil()] * 50):
    things[:] = [Evil() for _ in range(50)]
    table.clear(); bag.clear()
    attempt(f)
