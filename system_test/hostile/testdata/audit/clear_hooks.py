import sys
for name in ("_clearaudithooks", "_PySys_ClearAuditHooks"):
    attempt(lambda: getattr(sys, name)())
attempt(sys.audit, "cpython._PySys_ClearAuditHooks")
steal(lambda: open(SECRET))
