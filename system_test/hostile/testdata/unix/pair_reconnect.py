import socket
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    pair = attempt(socket.socketpair, socket.AF_UNIX, kind)
    if not pair:
        continue  # no filter lets datagrams have one
    a, b = pair
    attempt(a.connect, ABSTRACT + "d")
    attempt(a.sendto, b"x", ABSTRACT + "d")
    attempt(a.sendmsg, [b"x"], [], 0, UNIX)
    attempt(a.bind, DIR + "/pair")
    attempt(a.setsockopt, socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    attempt(a.listen)
