import struct, sys
print(struct.pack("<IHb8s", 1, 2, -3, b"abc").hex(), struct.unpack(">dq", struct.pack(">dq", 1.5, -2)), struct.calcsize("@lhl"))
print([x for x in struct.iter_unpack("<H", b"\1\0\2\0")], memoryview(b"abcd").cast("H").tolist() if sys.byteorder == "little" else None)
