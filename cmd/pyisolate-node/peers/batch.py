# multiprocessing: 1 kB messages one way through a Pipe, 100 in one, messages a second.
import json, multiprocessing, sys, time

SIZE, BATCH, COUNT = 1024, 100, 200


def flood(conn):
    batch = bytes(SIZE * BATCH)
    while conn.recv_bytes():
        for _ in range(COUNT):
            conn.send_bytes(batch)


n = int(sys.argv[1])
context = multiprocessing.get_context("fork")
ours, theirs = context.Pipe()
child = context.Process(target=flood, args=(theirs,))
child.start()
samples = []
for i in range(n + 1):
    begun, came = time.perf_counter(), 0
    ours.send_bytes(b"go")
    for _ in range(COUNT):
        batch = ours.recv_bytes()
        for at in range(0, len(batch), SIZE):
            came += len(batch[at:at + SIZE]) == SIZE
    samples.append(came / (time.perf_counter() - begun))
ours.send_bytes(b"")
child.join()
print(json.dumps(samples[1:]))
