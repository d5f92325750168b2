# multiprocessing: 1 kB of bytes through a Pipe to another process and back.
import json, multiprocessing, sys, time


def echo(conn):
    while data := conn.recv_bytes():
        conn.send_bytes(data)


n = int(sys.argv[1])
context = multiprocessing.get_context("fork")
ours, theirs = context.Pipe()
child = context.Process(target=echo, args=(theirs,))
child.start()
data = b"x" * 1024
samples = []
for i in range(n + 100):
    begun = time.perf_counter()
    ours.send_bytes(data)
    ours.recv_bytes()
    samples.append((time.perf_counter() - begun) * 1e6)
ours.send_bytes(b"")
child.join()
print(json.dumps(samples[100:]))
