import os
for fd in (3, 4, 5, 6):
    for _ in range(100):
        attempt(os.write, fd, os.urandom(8))
    attempt(os.ftruncate, fd, 0)
    attempt(os.lseek, fd, 0, 0)
    attempt(os.set_blocking, fd, True)
