import os
for path in ("/proc/self/mem", "/proc/%d/mem" % HOST, "/proc/%d/mem" % NODE, "/proc/1/mem", "/proc/kcore", "/dev/mem"):
    for mode in ("rb", "r+b"): steal(lambda: open(path, mode, 0))
