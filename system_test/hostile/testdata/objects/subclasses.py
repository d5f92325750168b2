for cls in object.__subclasses__():
    init = getattr(cls, "__init__", None)
    names = getattr(init, "__globals__", {})
    if "system" in names:
        attempt(names["system"], "touch " + DIR + "/subclasses")
    builtins = names.get("__builtins__", {})
    builtins = builtins if type(builtins) is dict else builtins.__dict__
    if "open" in builtins:
        steal(lambda: builtins["open"](SECRET))
