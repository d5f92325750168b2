import sys
for pid in (NODE, HOST, BYSTANDER):
    attempt(sys.remote_exec, pid, DIR + "/evil.py")
attempt(__import__, "_remote_debugging")
attempt(__import__, "profiling.sampling")
