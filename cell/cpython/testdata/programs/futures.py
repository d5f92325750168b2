from concurrent.futures import ThreadPoolExecutor, as_completed, wait
with ThreadPoolExecutor(3) as pool:
    print(list(pool.map(pow, [2, 3, 4], [2, 2, 2])))
    f = pool.submit(int, "x")
    print(type(f.exception()).__name__, sorted(x.result() for x in as_completed([pool.submit(abs, n) for n in (-3, 2)])))
