import builtins
for name in ("len", "isinstance", "getattr", "exec", "compile", "print", "abs"):
    setattr(builtins, name, lambda *args, **named: steal(lambda: open(SECRET)))
open = lambda *args: None
builtins.__import__ = lambda *args, **named: None
