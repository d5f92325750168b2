"""A policy that is built, stored, and changed while a cell runs under it."""

import os
import tempfile
import time

import pyisolate as iso
from pyisolate import CpuBudget, Import, Policy, ReadPath

directory = tempfile.mkdtemp()
with open(os.path.join(directory, "greeting.txt"), "w") as f:
    f.write("hello")

reader = Policy(Import("json"), ReadPath(directory), CpuBudget("10s"), mem="64MiB")
version = iso.policy.put("reader", reader, comment="first")
print("version", version.number)

with iso.spawn(policy="reader") as cell:
    cell.exec(f"post(open({directory!r} + '/greeting.txt').read())")
    print(cell.recv())

    # The next version takes the file away, also from the cell that runs.
    number = iso.policy.put("reader", Policy(Import("json")), expect=version.number).number
    while cell.stats.policy.version != number:
        time.sleep(0.01)
    try:
        cell.exec(f"open({directory!r} + '/greeting.txt')")
    except iso.PolicyDenied as error:
        print("denied:", error.message.replace(directory, "…"))

try:
    iso.policy.put("reader", "version: 1.0\nsandboxes:\n  reader:\n    improts: [json]\n")
except iso.Invalid as error:
    problem = error.problems[0]
    print(f"line {problem.line}: {problem.message}")

# Output:
# version 1
# hello
# denied: fs: open …/greeting.txt is not allowed by the policy of this cell
# line 4: a sandbox has no key "improts"
