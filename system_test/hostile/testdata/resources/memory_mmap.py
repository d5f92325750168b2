import mmap
x = []
for _ in range(64):
    m = attempt(mmap.mmap, -1, 64 << 20)
    if m:
        for at in range(0, len(m), 4096): m[at] = 1
        x.append(m)
