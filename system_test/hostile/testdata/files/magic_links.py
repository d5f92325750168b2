import os
for path in ("/proc/self/fd/0", "/dev/stdin", "/proc/self/cwd/" + SECRET, "/proc/self/root" + SECRET, "/proc/%d/root%s" % (NODE, SECRET),
             "/proc/thread-self/root" + SECRET, "/proc/self/map_files", "/dev/fd/3", "/proc/%d/fd/0" % HOST):
    steal(lambda: open(path))
    attempt(os.listdir, path)
