import mmap, threading, time
end, kept = time.monotonic() + 4, []
def going(): return time.monotonic() < end and len(kept) < 40
def ask():
    while going():
        try: mmap.mmap(-1, 2**63 - 1)
        except (MemoryError, OSError): pass
def take():
    while going():
        try: kept.append(b"x" * (16 << 20))
        except MemoryError: pass
threads = [threading.Thread(target=what) for what in (ask, ask, ask, take)]
for thread in threads: thread.start()
for thread in threads: thread.join()
