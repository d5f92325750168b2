# multiprocessing: terminate a process in a busy loop, until it has been joined.
import json, multiprocessing, sys, time


def spin(conn):
    conn.send_bytes(b"running")
    while True:
        pass


n = int(sys.argv[1])
context = multiprocessing.get_context("fork")
samples = []
for i in range(n):
    ours, theirs = context.Pipe()
    child = context.Process(target=spin, args=(theirs,))
    child.start()
    ours.recv_bytes()
    begun = time.perf_counter()
    child.terminate()
    child.join()
    samples.append((time.perf_counter() - begun) * 1e6)
print(json.dumps(samples))
