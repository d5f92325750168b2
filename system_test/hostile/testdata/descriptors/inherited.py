import os
for fd in range(0, 300):
    try: link = os.readlink("/proc/self/fd/%d" % fd)
    except OSError: continue
    if "hostile" in link or "socket" in link: log("descriptor", link)
    if fd > 4: tell(repr(attempt(os.pread, fd, 100, 0)))
