import threading
def work():
    while True:
        try: open(VICTIM, "w").write("late")
        except BaseException: pass
for _ in range(3): threading.Thread(target=work, daemon=False).start()
