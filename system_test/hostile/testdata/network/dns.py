import socket
for f in (lambda: socket.gethostbyname("localhost"), lambda: socket.getaddrinfo("127.0.0.1", TCP), lambda: socket.gethostbyaddr("127.0.0.1"),
          lambda: socket.getnameinfo(("127.0.0.1", TCP), 0), lambda: socket.getfqdn("localhost"), lambda: socket.gethostbyname_ex("localhost")):
    attempt(f)
