import sys, threading
attempt(threading.stack_size, 1 << 30)
sys.setrecursionlimit(10**9)
def deep(n): return next(map(deep, (n - 1,))) if n else 0
end, turn = threading.Event(), threading.Lock()
def work():
    with turn:
        for n in (4_000, 20_000, 60_000, 100_000): attempt(deep, n)
        reached.release()
    end.wait()
reached = threading.Semaphore(0)
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: reached.acquire()
end.set()
for thread in threads: thread.join()
