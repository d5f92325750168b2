import io, tarfile, zipfile
raw = io.BytesIO()
with tarfile.open(fileobj=raw, mode="w") as tar:
    for name, kind, target in (("../../" + VICTIM, tarfile.REGTYPE, ""), ("link", tarfile.SYMTYPE, SECRET), ("hard", tarfile.LNKTYPE, SECRET), ("fifo", tarfile.FIFOTYPE, "")):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        tar.addfile(info)
raw.seek(0)
attempt(lambda: tarfile.open(fileobj=raw).extractall(DIR, filter="fully_trusted"))
z = zipfile.ZipFile(io.BytesIO(), "w")
attempt(z.write, SECRET)
attempt(z.extractall, DIR)
import glob, fileinput, mimetypes, netrc
tell(repr(attempt(glob.glob, DIR + "/*")))
