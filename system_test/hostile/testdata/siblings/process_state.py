import os, time
attempt(os.chdir, DIR)
attempt(os.umask, 0)
attempt(os.putenv, "LD_PRELOAD", DIR + "/evil.so")
os.environ["PYTHONHOME"] = DIR
attempt(os.nice, 19)
attempt(os.setpriority, os.PRIO_PROCESS, 0, 19)
attempt(time.tzset)
