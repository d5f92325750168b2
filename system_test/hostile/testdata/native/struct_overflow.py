import struct, itertools
for f in (lambda: struct.pack_into("Q", bytearray(8), 2**63 - 1, 1), lambda: struct.calcsize("%dQ" % (2**62)),
          lambda: memoryview(b"x" * 64).cast("B", [2**32, 2**32]), lambda: "x" * (2**62), lambda: [0] * (2**60),
          lambda: bytes(2**62), lambda: "".join(["x" * 2**20] * 2**20), lambda: b"x".ljust(2**62), lambda: "%*d" % (2**62, 1),
          lambda: (1 << 2**40), lambda: list(itertools.repeat(0, 2**60)), lambda: "{:{}}".format(1, 2**62)):
    attempt(f)
