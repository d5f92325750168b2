for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sysrq-trigger", "/proc/self/oom_score_adj", "/proc/self/uid_map",
             "/proc/self/setgroups", "/proc/self/attr/current", "/proc/self/coredump_filter", "/sys/fs/cgroup/cgroup.procs", "/proc/self/clear_refs"):
    attempt(lambda: open(path, "r+").write("0"))
