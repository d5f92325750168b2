import os, pathlib
for path in (SECRET.encode(), SECRET + "\0", "/dev/null\0" + SECRET, "/dev/null/" + "../" * 1300 + SECRET, pathlib.Path(SECRET), memoryview(SECRET.encode()),
             bytearray(SECRET.encode()), type("S", (str,), {})(SECRET), os.fsencode("/usr/share/zoneinfo/") + b".." + SECRET.encode()):
    steal(lambda: open(path))
tell(attempt(lambda: pathlib.Path(SECRET).read_text()))
attempt(lambda: pathlib.Path(VICTIM).write_text("changed"))
