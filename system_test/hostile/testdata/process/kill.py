import os, signal
for pid in (BYSTANDER, -BYSTANDER):
    attempt(os.kill, pid, signal.SIGKILL)
    attempt(os.killpg, abs(pid), signal.SIGKILL)
attempt(lambda: os.pidfd_open(BYSTANDER))
attempt(lambda: signal.pidfd_send_signal(3, 9))
