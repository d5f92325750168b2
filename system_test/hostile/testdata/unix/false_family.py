import socket
for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_NETLINK, socket.AF_PACKET, socket.AF_VSOCK, 17, 40, 44, 38, 29):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
        def reach():
            s = socket.socket(family, kind)
            attempt(s.connect, ("127.0.0.1", TCP))
            attempt(s.bind, (0, 0))
        attempt(reach)
attempt(lambda: socket.socket(socket.AF_UNIX, fileno=3).connect(("127.0.0.1", TCP)))
