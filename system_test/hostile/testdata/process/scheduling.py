import os
attempt(os.sched_setaffinity, 0, {0})
attempt(lambda: os.sched_setscheduler(BYSTANDER, os.SCHED_IDLE, os.sched_param(0)))
attempt(os.setpriority, os.PRIO_PROCESS, BYSTANDER, 19)
attempt(os.setpriority, os.PRIO_USER, 0, 19)
