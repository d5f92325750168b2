import gc, pyisolate_guest
class Last:
    def __del__(self):
        gc.collect()
        kept.extend(bytearray(1000 + i % 800) for i in range(20_000))
class Meta(type):
    pass
def error():
    def __new__(cls, *said):
        del pyisolate_guest.Timeout
        del cls
        last = Last()
        return 3
    return Meta("Timeout", (Exception,), {"__new__": __new__})
kept = []
pyisolate_guest.Timeout
pyisolate_guest.Timeout = error()
gc.collect()
attempt(pyisolate_guest.recv, 0)
