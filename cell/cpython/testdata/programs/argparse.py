import argparse, contextlib, io
p = argparse.ArgumentParser(prog="tool", description="Does things.")
p.add_argument("path", nargs="+")
p.add_argument("-v", "--verbose", action="count", default=0)
p.add_argument("--mode", choices=["a", "b"], help="how (default: %(default)s)", default="a")
sub = argparse.ArgumentParser(prog="t2")
sub.add_subparsers(dest="cmd").add_parser("go", help="goes")
print(p.parse_args(["x", "-vv", "--mode=b"]), sub.parse_args(["go"]))
print(p.format_usage())
err = io.StringIO()
with contextlib.redirect_stderr(err):
    try:
        p.parse_args(["x", "--mode", "z"])
    except SystemExit as e:
        print(e.code)
print("invalid choice" in err.getvalue())
