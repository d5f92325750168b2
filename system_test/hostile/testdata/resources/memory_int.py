x = 1 << 1000
while True: x *= x
