import mmap
kept, parts = [], mmap.mmap(-1, 48 << 20)
def many():
    while len(kept) < 65_000:
        kept.append(mmap.mmap(-1, 1))
        kept[-1][0] = 1
def split():
    for at in range(0, len(parts), 8192): parts.madvise(mmap.MADV_RANDOM, at, 4096)
attempt(split)
attempt(many)
attempt(lambda: post(str(len(kept))))
