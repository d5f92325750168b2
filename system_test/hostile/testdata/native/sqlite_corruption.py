import sqlite3
base = sqlite3.connect(":memory:")
base.execute("create table t(a, b)")
base.execute("insert into t values (1, zeroblob(1000))")
image = bytearray(base.serialize())
for i in range(100, len(image), 97): image[i] ^= 255
for size in (0, 50, 1024, len(image)):
    def read():
        other = sqlite3.connect(":memory:")
        other.deserialize(bytes(image[:size]))
        return other.execute("select * from t, sqlite_master").fetchall()
    attempt(read)
attempt(base.load_extension, DIR + "/evil.so")
attempt(base.enable_load_extension, True)
attempt(base.execute, "select load_extension('%s/evil.so')" % DIR)
attempt(lambda: base.execute("pragma writable_schema=on").execute("update sqlite_master set sql='create table t(x)'").fetchall())
