import gc, weakref
class C: pass
c = C()
r, d = weakref.ref(c, lambda r: print("dead")), weakref.WeakValueDictionary(a=c)
weakref.finalize(c, print, "finalized")
print(r() is c, len(d))
del c; gc.collect()
print(r(), len(d), weakref.WeakSet(), gc.isenabled())
