import os
attempt(os.symlink, SECRET, DIR + "/link")
for path in (DIR + "/link", "/dev/null/../.." + SECRET, "/proc/self/root" + SECRET, "/dev/fd/../root" + SECRET, "//" + SECRET, "/usr/share/zoneinfo/../../.." + SECRET):
    steal(lambda: open(path))
