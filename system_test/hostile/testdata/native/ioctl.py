import fcntl, os, termios
r, w = os.pipe()
for request in (0x5401, 0x8912, 0x5413, 0x80045430, 0xC0045878, 0x541B, 0x5412):
    attempt(fcntl.ioctl, r, request, bytearray(1))
    attempt(fcntl.ioctl, 0, request, b"x" * 1024)
attempt(fcntl.ioctl, 0, termios.TIOCSTI, b"x")
