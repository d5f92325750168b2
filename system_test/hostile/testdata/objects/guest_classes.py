import pyisolate_guest
class Mine(Exception):
    def __init__(self, *args): steal(lambda: open(SECRET))
for name in ("PolicyDenied", "ImportDenied", "ChildWorkExceeded"):
    setattr(pyisolate_guest, name, Mine)
    globals()[name] = Mine
steal(lambda: open(SECRET))
attempt(__import__, "posix")
