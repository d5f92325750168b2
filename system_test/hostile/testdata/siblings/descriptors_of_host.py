import os
for fd in range(3, 64):
    if fd not in (3, 4):
        attempt(os.write, fd, b"hostile")
for fd in range(3, 64):
    attempt(os.pread, fd, 100, 0)
