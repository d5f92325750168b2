# subprocess: a fresh interpreter, until its first output has been read.
import json, subprocess, sys, time

n = int(sys.argv[1])
samples = []
for i in range(n + 1):
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-S", "-c", "print(1)"], check=True, capture_output=True)
    samples.append((time.perf_counter() - begun) * 1e6)
print(json.dumps(samples[1:]))
