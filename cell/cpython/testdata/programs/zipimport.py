import io, sys, zipfile, zipimport
try:
    import os, tempfile
    with tempfile.TemporaryDirectory() as d:
        z = os.path.join(d, "m.zip")
        with zipfile.ZipFile(z, "w") as f:
            f.writestr("zipped_mod.py", "VALUE = 7\ndef f():\n    return __file__\n")
            f.writestr("zpkg/__init__.py", ""); f.writestr("zpkg/sub.py", "Y = 8\n")
        sys.path.insert(0, z)
        import zipped_mod, zpkg.sub
        print(zipped_mod.VALUE, zpkg.sub.Y, type(zipped_mod.__loader__).__name__, zipped_mod.f()[-20:])
        print(zipimport.zipimporter(z).is_package("zpkg"), sys.path_hooks[0] is zipimport.zipimporter)
except PermissionError:
    print("no files here")
try:
    zipimport.zipimporter("/no/such.zip")
except zipimport.ZipImportError as e:
    print(e)
