import io, logging, logging.config, logging.handlers
out = io.StringIO()
logging.basicConfig(stream=out, level=logging.DEBUG, format="%(levelname)s:%(name)s:%(message)s")
log = logging.getLogger("a.b")
log.info("hello %s", "x")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("bad")
logging.config.dictConfig({"version": 1, "loggers": {"q": {"level": "ERROR"}}})
print(out.getvalue().splitlines()[0], out.getvalue().splitlines()[-1], logging.getLogger("q").isEnabledFor(logging.INFO))
