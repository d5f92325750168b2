import sqlite3
for path in (DIR + "/x.db", "file:%s/x.db?mode=rwc" % DIR, ""):
    def use():
        base = sqlite3.connect(path, uri=True)
        base.execute("create table t(a)")
        base.commit()
    attempt(use)
base = sqlite3.connect(":memory:")
attempt(base.execute, "pragma temp_store_directory='%s'" % DIR)
attempt(lambda: base.backup(sqlite3.connect(DIR + "/copy.db")))
attempt(lambda: base.execute("select readfile('%s')" % SECRET).fetchall())
attempt(lambda: __import__("dbm.sqlite3").sqlite3.open(DIR + "/d", "c"))
