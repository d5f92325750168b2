# multiprocessing: 1 kB messages one way through a Pipe, one or so many in one, messages a second.
import json, multiprocessing, sys, time

SIZE, COUNT = 1024, 20_000
n, batch = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1


def flood(conn):
    data = b"x" * (SIZE * batch)
    while conn.recv_bytes():
        for _ in range(COUNT // batch):
            conn.send_bytes(data)


context = multiprocessing.get_context("fork")
ours, theirs = context.Pipe()
child = context.Process(target=flood, args=(theirs,))
child.start()
samples = []
for i in range(n + 1):
    begun = time.perf_counter()
    ours.send_bytes(b"go")
    for _ in range(COUNT // batch):
        data = ours.recv_bytes()
        if batch > 1:
            for at in range(0, len(data), SIZE):
                data[at:at + SIZE]
    samples.append(COUNT / (time.perf_counter() - begun))
ours.send_bytes(b"")
child.join()
print(json.dumps(samples[1:]))
