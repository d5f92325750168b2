for cls in (int, str, list, dict, type, object):
    for name, value in (("real", 9), ("__abs__", lambda self: 9), ("append", None), ("__len__", lambda self: 9)):
        attempt(setattr, cls, name, value)
        attempt(type.__setattr__, cls, name, value)
attempt(lambda: int.__dict__.__or__({"real": 9}))
