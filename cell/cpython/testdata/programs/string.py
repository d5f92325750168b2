import string
from string.templatelib import Interpolation
print(string.Template("$who owes ${n}").substitute(who="Tim", n=3), string.Template("$x").safe_substitute())
print(string.Formatter().format("{0!r:>6} {k[a]}", "a", k={"a": 1}), string.capwords("a bc"), string.ascii_letters)
name = "w"
t = t"hello {name!r:>5}"
print(t.strings, [(i.value, i.expression, i.conversion, i.format_spec) for i in t.interpolations], isinstance(t.interpolations[0], Interpolation))
