import sys, builtins
sys.stdout = sys.stderr = None
for name in list(sys.modules):
    if name not in ("__main__", "sys"): sys.modules[name] = None
sys.modules.clear()
builtins.__dict__.pop("__import__", None)
sys.meta_path = None
sys.path = 7
