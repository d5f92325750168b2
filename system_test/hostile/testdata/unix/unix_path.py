import socket
def reach():
    s = socket.socket(socket.AF_UNIX)
    attempt(s.connect, UNIX)
    attempt(s.connect, UNIX.encode())
    attempt(s.bind, DIR + "/bound")
attempt(reach)
for path in ("/var/run/docker.sock", "/run/dbus/system_bus_socket", "/run/systemd/notify"):
    attempt(lambda: socket.socket(socket.AF_UNIX).connect(path))
