import sys
imp = sys.modules["_imp"]
raw = b"c" + bytes(12) + b"\1\0\0\0\3\0\0\0s\x02\0\0\0\x54\xff" + b")\0" * 3 + b"s\0\0\0\0" + b"z\1f" * 3 + b"\1\0\0\0" + b"s\0\0\0\0" * 2
code = attempt(imp.get_frozen_object, "evil", raw)
if code: exec(code)
bootstrap = sys.modules["_frozen_importlib"]
code = attempt(bootstrap._call_with_frames_removed, imp.get_frozen_object, "evil", raw)
if code: exec(code)
