import importlib.machinery, importlib.util, sys
for path in (DIR + "/evil.so", "/proc/self/exe", "/lib/x86_64-linux-gnu/libc.so.6"):
    loader = importlib.machinery.ExtensionFileLoader("evil", path)
    spec = importlib.util.spec_from_file_location("evil", path, loader=loader)
    attempt(importlib.util.module_from_spec, spec)
