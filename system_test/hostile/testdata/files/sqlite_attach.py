import sqlite3
base = sqlite3.connect(":memory:")
attempt(lambda: base.execute("attach database '%s/attached.db' as x" % DIR).execute("create table x.t(a)"))
attempt(lambda: base.execute("create table t(a)").execute("vacuum into '%s/vacuumed.db'" % DIR))
attempt(lambda: base.execute("attach database 'file:%s?mode=ro' as y" % SECRET))
