def below(cls):
    for sub in type.__subclasses__(cls):
        yield sub
        yield from below(sub)
for cls in below(object):
    if cls.__name__ in ("FileIO", "OpenWrapper", "FileLoader"):
        steal(lambda: cls(SECRET))
