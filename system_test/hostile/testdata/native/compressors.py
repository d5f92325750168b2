import bz2, lzma, zlib, io
bomb = zlib.compress(bytes(10**6) * 10, 1) * 1
for f in (lambda: zlib.decompress(b"x\x9c" + b"\xff" * 1000), lambda: bz2.decompress(b"BZh9" + b"\x31" * 1000),
          lambda: lzma.decompress(b"\xfd7zXZ\0" + b"\xff" * 1000), lambda: lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 2**32 - 1}]),
          lambda: len(zlib.decompress(bomb, bufsize=2**31 - 1)), lambda: zlib.decompressobj().decompress(bomb, 2**62), lambda: zlib.decompressobj(zdict=b"x" * 2**20)):
    attempt(f)
