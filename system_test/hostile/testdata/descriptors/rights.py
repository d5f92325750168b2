import array, os, socket
a, b = socket.socketpair()
attempt(socket.send_fds, a, [b"x"], [0, 1, 2, 3, 4])
b.setblocking(False)
got = attempt(socket.recv_fds, b, 10, 16)
for fd in (got[1] if got else []):
    attempt(os.write, fd, (1).to_bytes(8, "little"))
    tell(repr(attempt(os.pread, fd, 100, 0)))
a.setblocking(False)
for _ in range(20):
    if attempt(socket.send_fds, a, [b"x"], [a.fileno(), b.fileno()]) is None: break
