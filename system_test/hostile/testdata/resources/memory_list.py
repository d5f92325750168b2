x = []
while True: x.append(bytes(100000))
