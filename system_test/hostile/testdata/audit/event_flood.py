import sys
for i in range(3000):
    try: open("/hostile")
    except Exception: pass
steal(lambda: open(SECRET))
