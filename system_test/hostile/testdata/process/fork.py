import os, pty
for f in (os.fork, os.forkpty, pty.fork):
    pid = attempt(f)
    if pid == 0:
        try: open(DIR + "/forked", "w")
        finally: os._exit(0)
attempt(pty.spawn, ["/bin/touch", DIR + "/pty"])
