for name in ("_tracemalloc", "_tkinter", "_curses", "readline", "_xxtestfuzz", "_testsinglephase", "_dbm", "_elementtree", "_decimal"):
    module = attempt(__import__, name)
    attempt(lambda: module.start(100))
