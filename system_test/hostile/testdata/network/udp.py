import socket
for family, at in ((socket.AF_INET, ("127.0.0.1", UDP)), (socket.AF_INET6, ("::1", UDP6)), (socket.AF_UNIX, ("127.0.0.1", UDP))):
    def reach():
        s = socket.socket(family, socket.SOCK_DGRAM)
        attempt(s.sendto, b"x", at)
        attempt(s.sendmsg, [b"x"], [], 0, at)
        attempt(s.connect, at)
        attempt(s.send, b"x")
    attempt(reach)
