x = []
while True:
    try:
        while True: x.append(bytes(1 << 16))
    except MemoryError: pass
