import os
for fd in (3, 4):
    attempt(os.write, fd, (1).to_bytes(8, "little"))
    attempt(os.read, fd, 8)
attempt(os.dup2, 0, 3)
attempt(os.close, 4)
