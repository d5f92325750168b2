import atexit
def forever():
    while True:
        try:
            while True: pass
        except BaseException: pass
class Last:
    def __del__(self): forever()
kept = Last()
atexit.register(forever)
