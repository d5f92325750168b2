def gen():
    try: yield 1
    finally: attempt(g.gi_frame.clear)
g = gen()
next(g)
attempt(g.gi_frame.clear)
try: 1 / 0
except ZeroDivisionError as error:
    frame = error.__traceback__.tb_frame
    attempt(frame.clear)
    attempt(lambda: frame.f_locals.get("frame"))
    attempt(lambda: frame.f_locals.update(open=None))
