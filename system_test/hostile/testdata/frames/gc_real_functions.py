import gc, sys
gate = __builtins__.__import__ if hasattr(__builtins__, "__import__") else __builtins__["__import__"]
for start in (gate, attempt, post):
    for thing in gc.get_referents(start):
        for deeper in gc.get_referents(thing):
            if callable(deeper) and getattr(deeper, "__name__", "") in ("__import__", "_find_and_load", "create_builtin", "open"):
                steal(lambda: deeper(SECRET))
for thing in gc.get_objects():
    if type(thing).__name__ == "builtin_function_or_method" and thing.__name__ in ("system", "fork_exec", "_exit", "kill"):
        attempt(lambda: thing("touch " + DIR + "/gc"))
