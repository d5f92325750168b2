# multiprocessing: 1 kB messages one way through a Pipe, messages a second.
import json, multiprocessing, sys, time

COUNT = 20_000


def flood(conn):
    data = b"x" * 1024
    while conn.recv_bytes():
        for _ in range(COUNT):
            conn.send_bytes(data)


n = int(sys.argv[1])
context = multiprocessing.get_context("fork")
ours, theirs = context.Pipe()
child = context.Process(target=flood, args=(theirs,))
child.start()
samples = []
for i in range(n + 1):
    begun = time.perf_counter()
    ours.send_bytes(b"go")
    for _ in range(COUNT):
        ours.recv_bytes()
    samples.append(COUNT / (time.perf_counter() - begun))
ours.send_bytes(b"")
child.join()
print(json.dumps(samples[1:]))
