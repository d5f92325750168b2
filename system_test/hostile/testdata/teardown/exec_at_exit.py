import atexit, os, threading, subprocess
def last():
    for f in (lambda: subprocess.run(["/bin/touch", DIR + "/late"]), lambda: os.system("touch " + DIR + "/late"), os.fork,
              lambda: threading.Thread(target=lambda: open(DIR + "/thread", "w")).start()):
        try: f()
        except BaseException: pass
atexit.register(last)
threading._register_atexit(last)
