import os
for f, args in ((os.setuid, (0,)), (os.setgid, (0,)), (os.setgroups, ([0],)), (os.setresuid, (0, 0, 0)), (os.chroot, (DIR,)), (os.setsid, ()),
                (os.unshare, (os.CLONE_NEWUSER,)), (os.setns, (0, 0)), (os.initgroups, ("root", 0))):
    attempt(f, *args)
steal(lambda: open(SECRET))
attempt(lambda: open(VICTIM, "w"))
