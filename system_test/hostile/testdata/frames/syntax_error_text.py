import warnings
error = SyntaxError("x", (SECRET, 1, 1, None))
tell(attempt(lambda: __import__("traceback").format_exception(error)))
attempt(lambda: warnings.warn_explicit("x", UserWarning, SECRET, 1))
try: compile("0x for", SECRET, "exec")
except SyntaxError as caught: tell(caught.text)
try: compile(b"# coding: nothing\n", SECRET, "exec")
except SyntaxError as caught: tell(repr(caught.args))
raise error
