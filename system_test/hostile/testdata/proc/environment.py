for pid in ("self", HOST, NODE, BYSTANDER, 1):
    for name in ("environ", "cmdline", "maps", "auxv", "stack", "syscall", "io"):
        steal(lambda: open("/proc/%s/%s" % (pid, name)))
