import warnings, sys
with warnings.catch_warnings(record=True) as got:
    warnings.simplefilter("always")
    warnings.warn("old", DeprecationWarning)
    eval(compile("'\\d'", "<w>", "eval"))
    print([(w.category.__name__, str(w.message)) for w in got])
warnings.simplefilter("error")
try:
    warnings.warn("x")
except UserWarning as e:
    print(repr(e))
@warnings.deprecated("gone")
def f(): pass
print(f.__deprecated__, warnings.filters[0][0])
