# multiprocessing: 1 kB of bytes through Pipes from a process to another, half of there and back.
import json, multiprocessing, sys, time


def pong(conn):
    while data := conn.recv_bytes():
        conn.send_bytes(data)


def ping(conn, out, n):
    data, samples = b"x" * 1024, []
    for i in range(n + 100):
        begun = time.perf_counter()
        conn.send_bytes(data)
        conn.recv_bytes()
        samples.append((time.perf_counter() - begun) * 1e6 / 2)
    conn.send_bytes(b"")
    out.send(samples[100:])


n = int(sys.argv[1])
context = multiprocessing.get_context("fork")
a, b = context.Pipe()
ours, theirs = context.Pipe()
both = [context.Process(target=pong, args=(b,)), context.Process(target=ping, args=(a, theirs, n))]
for p in both:
    p.start()
samples = ours.recv()
for p in both:
    p.join()
print(json.dumps(samples))
