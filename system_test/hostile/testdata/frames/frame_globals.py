import json
try: json.loads("{", object_pairs_hook=1)
except Exception as error:
    trace = error.__traceback__
    while trace:
        names = trace.tb_frame.f_builtins
        steal(lambda: names["open"](SECRET))
        if trace.tb_frame.f_globals.get("__name__", "").startswith("json"):
            trace.tb_frame.f_globals["WHITESPACE"] = None
            attempt(lambda: exec("import os\nos.system('touch %s/frames')" % DIR, trace.tb_frame.f_globals))
        trace = trace.tb_next
