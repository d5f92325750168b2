import multiprocessing, signal, subprocess, shlex, sched, selectors
print(subprocess.list2cmdline(["a b", "c"]), shlex.split("a 'b c' d"), shlex.join(["x y"]), signal.SIGTERM, signal.Signals(9).name)
print(issubclass(subprocess.TimeoutExpired, subprocess.SubprocessError), multiprocessing.current_process().name)
print(type(selectors.DefaultSelector()).__name__)
