# concurrent.interpreters: private memory an idle interpreter adds, in KiB.
import json, sys
from concurrent import interpreters


def private():
    with open("/proc/self/smaps_rollup") as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("Private_"))


n = int(sys.argv[1])
first = interpreters.create()
first.exec("pass")
base = private()
idle = [interpreters.create() for _ in range(n)]
for it in idle:
    it.exec("pass")
print(json.dumps([(private() - base) / n]))
