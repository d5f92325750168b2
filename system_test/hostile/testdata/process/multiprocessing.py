import multiprocessing
for method in ("fork", "spawn", "forkserver"):
    def start():
        context = multiprocessing.get_context(method)
        p = context.Process(target=print)
        p.start()
        p.join()
    attempt(start)
attempt(lambda: multiprocessing.Pool(1))
