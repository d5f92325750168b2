import socket
for at in (("::1", TCP6), ("::ffff:127.0.0.1", TCP), ("::ffff:7f00:1", TCP), ("::127.0.0.1", TCP), ("64:ff9b::7f00:1", TCP)):
    attempt(socket.create_connection, at, 1)
    attempt(lambda: socket.socket(socket.AF_INET6).connect(at))
