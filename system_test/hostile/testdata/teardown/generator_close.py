def stubborn():
    while True:
        try: yield
        except GeneratorExit:
            steal(lambda: open(SECRET))
            raise RuntimeError
kept = [stubborn() for _ in range(50)]
for g in kept: next(g)
async def never():
    try: await thing()
    finally: steal(lambda: open(SECRET))
class thing:
    def __await__(self): yield
c = never()
c.send(None)
