import os
for f in (os.execv, os.execvp): attempt(f, "/bin/touch", ["touch", DIR + "/replaced"])
attempt(os.execve, "/bin/touch", ["touch", DIR + "/replaced"], {})
attempt(os.execl, "/bin/touch", "touch", DIR + "/replaced")
attempt(os.execve, 0, ["x"], {})
