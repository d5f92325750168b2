import os, shutil
for f in (os.link, os.rename, os.replace, shutil.move, shutil.copy, shutil.copyfile, os.symlink):
    attempt(f, SECRET, DIR + "/copied")
    attempt(f, VICTIM, DIR + "/moved")
attempt(os.unlink, VICTIM)
attempt(os.truncate, VICTIM, 0)
attempt(os.chmod, VICTIM, 0)
attempt(os.utime, VICTIM)
attempt(shutil.rmtree, DIR, True)
