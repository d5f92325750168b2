import sys
try:
    with open(DIR + "/evil.py", "w") as file: file.write("post(1)")
except Exception: pass
sys.path.insert(0, DIR)
attempt(__import__, "evil")
