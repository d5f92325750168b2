# What copyreg was told of a class may hand over a part of plain data.
import copyreg
class A:
    pass
def mk(x):
    a = A(); a.x = x
    return a
rows = [[i, str(i)] for i in range(2000)]
def red(a): return mk, (rows[5],)
copyreg.pickle(A, red)
z = A()
# --- after ---
assert z.x is rows[5]
