import os
fd = attempt(os.open, SECRET, os.O_PATH)
if fd: steal(lambda: open("/proc/self/fd/%d" % fd))
fd = attempt(os.open, DIR, os.O_TMPFILE | os.O_RDWR, 0o666)
if fd: attempt(os.link, "/proc/self/fd/%d" % fd, DIR + "/tmpfile", follow_symlinks=True)
fd = attempt(os.open, DIR, os.O_RDONLY | os.O_DIRECTORY)
if fd: tell(os.read(os.open("secret", os.O_RDONLY, dir_fd=fd), 100))
lib = attempt(os.open, os.path.dirname(os.__file__), os.O_RDONLY)
if lib:
    fd = attempt(os.open, "../" * 20 + SECRET[1:], os.O_RDONLY, dir_fd=lib)
    if fd: tell(os.read(fd, 100))
