import sys
calls = []
sys.breakpointhook = lambda *a, **k: calls.append((a, k))
breakpoint(); breakpoint(1, header="x")
print(calls, sys.__breakpointhook__.__name__)
