import subprocess
for name in ("_fork_exec", "_posixsubprocess", "_USE_VFORK"):
    thing = getattr(subprocess, name, None)
    f = getattr(thing, "fork_exec", thing)
    if callable(f):
        attempt(f, [b"/bin/touch"], [b"/bin/touch"], True, (), None, None, -1, -1, -1, -1, -1, -1, -1, -1, True, False, -1, None, None, None, -1, None)
