import os
for name in ("exe", "cwd", "root", "fd/3", "ns/net"):
    for pid in (HOST, NODE, BYSTANDER):
        path = attempt(os.readlink, "/proc/%d/%s" % (pid, name))
        if path: steal(lambda: open(path, "rb"))
