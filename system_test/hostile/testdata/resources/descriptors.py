import os
kept = []
for _ in range(5000):
    try: kept.append(os.dup(0))
    except OSError: break
    try: kept.append(open("/dev/null"))
    except Exception: pass
for _ in range(5000):
    try: kept.append(os.pipe())
    except OSError: break
