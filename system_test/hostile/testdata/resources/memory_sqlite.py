import sqlite3
base = sqlite3.connect(":memory:")
base.execute("create table t(a)")
for _ in range(150): base.execute("insert into t values (zeroblob(1000000))")
