import os, signal, sys
for f in (lambda: os._exit(0), os.abort, lambda: signal.raise_signal(9), lambda: os.kill(os.getpid(), 9), lambda: signal.raise_signal(signal.SIGSEGV)):
    attempt(f)
