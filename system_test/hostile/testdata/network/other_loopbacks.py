import socket
for host in ("0.0.0.0", "127.1", "2130706433", "0x7f.1", "017700000001", "localhost", "127.255.255.254", ""):
    attempt(socket.create_connection, (host, TCP), 1)
    attempt(lambda: socket.socket().connect((host, TCP)))
