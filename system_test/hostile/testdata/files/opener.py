import io, os, tempfile
steal(lambda: open("/dev/null", opener=lambda path, flags: os.open(SECRET, flags)))
steal(lambda: io.open("/dev/null", opener=lambda path, flags: os.open(SECRET, flags)))
steal(lambda: io.open_code(SECRET))
steal(lambda: io.FileIO(SECRET))
attempt(lambda: tempfile.NamedTemporaryFile(dir=DIR, delete=False))
attempt(lambda: tempfile.mkdtemp(dir=DIR))
