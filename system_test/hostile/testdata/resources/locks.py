import fcntl, json
file = open(json.__file__)
attempt(fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)
attempt(fcntl.lockf, file, fcntl.LOCK_SH | fcntl.LOCK_NB)
attempt(fcntl.fcntl, file, 1024, 0)
