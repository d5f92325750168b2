import linecache, traceback
tell(attempt(linecache.getline, SECRET, 1))
tell(attempt(linecache.getlines, SECRET))
try: exec(compile("1/0", SECRET, "exec"))
except ZeroDivisionError: tell(traceback.format_exc())
exec(compile("1/0", SECRET, "exec"))
