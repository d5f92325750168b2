tracemalloc = attempt(__import__, "tracemalloc")
attempt(lambda: tracemalloc.start(50))
x = [bytes(1000) for _ in range(10000)]
attempt(lambda: tell(str(tracemalloc.take_snapshot().traces[:5])))
attempt(lambda: tracemalloc.stop())
