import resource
for name in ("RLIMIT_NOFILE", "RLIMIT_AS", "RLIMIT_FSIZE", "RLIMIT_CORE", "RLIMIT_NPROC"):
    attempt(resource.setrlimit, getattr(resource, name), (-1, -1))
    attempt(resource.setrlimit, getattr(resource, name), (0, 0))
    attempt(resource.prlimit, BYSTANDER, getattr(resource, name), (0, 0))
    attempt(resource.prlimit, NODE, getattr(resource, name))
