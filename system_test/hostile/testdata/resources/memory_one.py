x = bytearray(1 << 33)
