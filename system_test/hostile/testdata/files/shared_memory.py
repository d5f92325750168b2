for name in ("_posixshmem", "multiprocessing.shared_memory", "multiprocessing.managers"):
    module = attempt(__import__, name)
    name = DIR.rsplit("/", 1)[1]
    if module: attempt(lambda: module.shared_memory.SharedMemory(name, True, 4096))
import mmap, os
attempt(lambda: mmap.mmap(os.open("/dev/shm/" + name, os.O_CREAT | os.O_RDWR), 4096))
attempt(lambda: os.memfd_create("x"))
