import socket
for kind, name in ((socket.SOCK_STREAM, ABSTRACT), (socket.SOCK_SEQPACKET, ABSTRACT), (socket.SOCK_DGRAM, ABSTRACT + "d")):
    def reach():
        s = socket.socket(socket.AF_UNIX, kind)
        attempt(s.connect, name)
        attempt(s.connect_ex, name)
        attempt(s.sendto, b"x", name)
        attempt(s.sendmsg, [b"x"], [], 0, name)
    attempt(reach)
