def f(): return 1
for named in ({"co_code": bytes(range(0, 256, 2)) * 4}, {"co_consts": ()}, {"co_stacksize": 0}, {"co_nlocals": 0}):
    code = attempt(lambda: f.__code__.replace(**named))
    if code: exec(code)
