import signal, threading
for number in (2, 10, 15, 43, 9):
    attempt(signal.raise_signal, number)
    attempt(signal.pthread_kill, threading.get_ident(), number)
    attempt(signal.pthread_kill, threading.main_thread().ident, number)
attempt(signal.setitimer, signal.ITIMER_REAL, 0.001)
attempt(signal.alarm, 1)
