import fnmatch, glob, os.path, pathlib, posixpath
p = pathlib.PurePosixPath("/a/b/c.tar.gz")
print(p.parent, p.suffixes, p.stem, p.with_suffix(".zip"), p.relative_to("/a"), p.match("*.gz"), p.parts, p / "../x")
print(os.path.normpath("a/../b//c"), posixpath.commonpath(["/a/b", "/a/c"]), fnmatch.filter(["a.py", "b.txt"], "*.py"), pathlib.PureWindowsPath("C:/x\\y").drive, glob.escape("a[b]"))
