import io, os, shutil, tempfile
try:
    with tempfile.TemporaryDirectory() as d:
        p = os.path.join(d, "f.txt")
        with open(p, "w", encoding="utf-8") as f:
            f.write("é\nb\r\n")
        print(open(p, encoding="utf-8", newline="").read().encode(), open(p, encoding="latin-1").read().encode(), os.listdir(d))
        shutil.copy(p, p + "2")
        print(sorted(os.listdir(d)), os.path.getsize(p + "2"))
except PermissionError:
    print("no files here")
with tempfile.SpooledTemporaryFile(100, "w+") as f:
    f.write("x"); f.seek(0); print(f.read())
