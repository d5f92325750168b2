import sys
for event in ("open", "import", "code.__new__", "marshal.loads", "socket.connect", "os.system", "sqlite3.connect", "x" * 100000, "os.\0"):
    attempt(sys.audit, event, SECRET, "r", 0)
    attempt(sys.audit, event)
    attempt(sys.audit, event, *range(300))
