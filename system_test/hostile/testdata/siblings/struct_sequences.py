import sys, time
for cls in (type(sys.flags), type(sys.version_info), time.struct_time, type(sys.float_info)):
    attempt(setattr, cls, "n_fields", 99)
    attempt(setattr, cls, "__reduce__", lambda self: (open, (SECRET,)))
    attempt(lambda: cls.__new__(cls, (1,) * 99))
