import queue, threading, time
lock, total, q = threading.Lock(), 0, queue.Queue()
local = threading.local()
def work(n):
    global total
    local.n = n
    for _ in range(1000):
        with lock:
            total += local.n
    q.put(n)
threads = [threading.Thread(target=work, args=(n,), name=f"w{n}") for n in range(4)]
for t in threads: t.start()
for t in threads: t.join()
print(total, sorted(q.get() for _ in range(4)), threading.current_thread().name, threading.active_count())
done = threading.Event()
timer = threading.Timer(0.001, done.set); timer.start()
print(done.wait(5), threading.Barrier(1).wait(), threading.Semaphore(2).acquire())
timer.join()
