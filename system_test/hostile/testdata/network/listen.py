import socket
def serve(family, at):
    s = socket.socket(family)
    attempt(s.setsockopt, socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(at)
    s.listen()
    post("listening")
attempt(serve, socket.AF_INET, ("127.0.0.1", 0))
attempt(serve, socket.AF_INET, ("0.0.0.0", TCP))
attempt(serve, socket.AF_INET6, ("::", 0))
attempt(socket.create_server, ("127.0.0.1", 0))
