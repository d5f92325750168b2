import multiprocessing.synchronize as synchronize
name = "/" + DIR.rsplit("/", 1)[1]
attempt(lambda: synchronize._multiprocessing.SemLock(1, 1, 1, name, False))
