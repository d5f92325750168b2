import sqlite3
db = sqlite3.connect(":memory:")
db.row_factory = sqlite3.Row
db.executescript("create table t(a integer primary key, b text); insert into t(b) values ('x'), ('é');")
with db:
    db.executemany("insert into t(b) values (?)", [("n%d" % i,) for i in range(3)])
print([tuple(r) for r in db.execute("select * from t order by a")], db.execute("select count(*) n from t").fetchone()["n"])
db.create_function("twice", 1, lambda x: x * 2)
print(db.execute("select twice(21)").fetchone()[0])
try:
    db.execute("select * from nope")
except sqlite3.OperationalError as e:
    print(e)
