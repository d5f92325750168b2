for name in ("concurrent.interpreters", "_interpreters", "_xxsubinterpreters", "test.support.interpreters", "concurrent.futures.interpreter"):
    module = attempt(__import__, name)
attempt(lambda: [tell(repr(x)) for x in module.list_all()])
import concurrent.futures
pool = attempt(lambda: concurrent.futures.InterpreterPoolExecutor(1))
if pool: tell(attempt(lambda: pool.submit(open, SECRET).result()))
