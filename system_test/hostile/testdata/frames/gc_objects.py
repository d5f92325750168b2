import gc
for thing in gc.get_objects():
    if type(thing) is dict and "VALUE" in thing: tell(thing["VALUE"])
    if type(thing) is list and thing and type(thing[0]) is str and thing[0].startswith("sibling"): tell(thing)
for thing in gc.get_referrers(abs, int, None.__class__): tell(str(type(thing)))
