while True: post("x" * 1000)
