import sys
M = sys.monitoring
M.use_tool_id(3, "hostile")
def start(code, offset):
    if code.co_filename != "monitoring.py":
        steal(lambda: open(SECRET))
def disable(*args): return M.DISABLE
M.register_callback(3, M.events.PY_START, start)
M.register_callback(3, M.events.BRANCH_LEFT, disable)
M.set_events(3, M.events.PY_START | M.events.BRANCH_LEFT)
attempt(__import__, "cmd")
M.set_events(3, 0)
