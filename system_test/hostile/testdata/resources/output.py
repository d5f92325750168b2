while True:
    log("info", "x" * 10000)
    print("y" * 10000)
    metric("m", 1)
