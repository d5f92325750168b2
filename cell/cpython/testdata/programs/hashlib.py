import hashlib, hmac, zlib, binascii
for name in ("md5", "sha1", "sha256", "sha3_256", "blake2b"):
    print(name, hashlib.new(name, b"abc").hexdigest())
print(hmac.new(b"k", b"m", "sha256").hexdigest(), hashlib.pbkdf2_hmac("sha256", b"p", b"s", 10).hex(), binascii.crc32(b"abc"))
