import threading
for _ in range(500):
    try: threading.Thread(target=threading.Event().wait, daemon=True).start()
    except Exception: pass
threading.Thread(target=print).start()
