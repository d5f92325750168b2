for name in ("_dbm", "_gdbm", "dbm.ndbm", "dbm.gnu", "dbm.dumb"):
    module = attempt(__import__, name, None, None, ["open"])
    if module: attempt(module.open, DIR + "/dbm", "c")
import shelve
attempt(shelve.open, DIR + "/shelf")
