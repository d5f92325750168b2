# concurrent.interpreters: create, and run the first statement.
import json, sys, time
from concurrent import interpreters

n = int(sys.argv[1])
samples = []
for i in range(n + 3):
    begun = time.perf_counter()
    it = interpreters.create()
    it.exec("pass")
    samples.append((time.perf_counter() - begun) * 1e6)
    it.close()
print(json.dumps(samples[3:]))
