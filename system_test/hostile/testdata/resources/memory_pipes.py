import os, socket
kept = []
for _ in range(500):
    try: a, b = socket.socketpair()
    except Exception: break
    kept.append((a, b))
    a.setblocking(False)
    try:
        a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 28)
        while True: a.send(bytes(1 << 16))
    except OSError: pass
