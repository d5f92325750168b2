import socket
def reach():
    s = socket.socket(socket.AF_INET)
    attempt(s.sendto, b"x", socket.MSG_FASTOPEN, ("127.0.0.1", TCP))
    attempt(s.sendmsg, [b"x"], [], socket.MSG_FASTOPEN, ("127.0.0.1", TCP))
    attempt(s.setsockopt, socket.IPPROTO_TCP, 30, 1)
attempt(reach)
