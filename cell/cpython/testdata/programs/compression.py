import bz2, gzip, io, lzma, tarfile, zipfile, zlib
data = b"hello world " * 100
for m in (zlib, bz2, lzma):
    print(m.__name__, m.decompress(m.compress(data)) == data)
b = io.BytesIO()
with gzip.GzipFile(fileobj=b, mode="wb", mtime=0) as f:
    f.write(data)
print(gzip.decompress(b.getvalue()) == data, len(zlib.compress(data, 9)))
z = io.BytesIO()
with zipfile.ZipFile(z, "w", zipfile.ZIP_DEFLATED) as f:
    f.writestr("a/b.txt", "text")
print(zipfile.ZipFile(z).namelist(), zipfile.ZipFile(z).read("a/b.txt"))
t = io.BytesIO()
with tarfile.open(fileobj=t, mode="w:gz") as f:
    i = tarfile.TarInfo("x"); i.size = 3
    f.addfile(i, io.BytesIO(b"abc"))
t.seek(0)
print(tarfile.open(fileobj=t).getnames())
