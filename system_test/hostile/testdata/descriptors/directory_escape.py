import os
fd = attempt(os.open, os.path.dirname(os.__file__), os.O_RDONLY | os.O_DIRECTORY)
if fd:
    attempt(os.fchdir, fd)
    attempt(os.listdir, fd)
    for name in ("../" * 20 + SECRET[1:], SECRET):
        got = attempt(os.open, name, 0, dir_fd=fd)
        if got: tell(os.read(got, 100))
