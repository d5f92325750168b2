"""Runs a program in a cell and prints what it posts: python3 examples/quickstart.py"""

import pyisolate as iso

code = """
from math import sqrt
post(sqrt(2))
"""

with iso.spawn("demo", allowed_imports=["math"]) as sandbox:
    sandbox.exec(code)
    print(sandbox.recv())

# Output:
# 1.4142135623730951
