import contextlib, io
@contextlib.contextmanager
def tag(name):
    print("<" + name)
    try:
        yield name
    finally:
        print(">")
with contextlib.ExitStack() as stack:
    print([stack.enter_context(tag(n)) for n in "ab"], stack.callback(print, "called").__name__)
with contextlib.suppress(KeyError), contextlib.redirect_stdout(io.StringIO()) as out:
    print("hidden")
    {}["x"]
print(repr(out.getvalue()))
