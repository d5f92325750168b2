import re, codecs
for pattern in ("(?:" * 90 + "x" + ")*" * 90, "(a{0,65535}){0,65535}", "(?P<a>x)(?:(?(a)y|z)){999}", "[" + "a-z" * 10000 + "]"):
    attempt(lambda: re.compile(pattern).match("x" * 1000))
for name in ("utf-7", "utf-16", "utf-32", "idna", "punycode", "unicode_escape", "cp932", "gb18030", "hz", "iso2022_jp_ext"):
    attempt(lambda: bytes(range(256)).decode(name, "surrogatepass"))
    attempt(lambda: "\ud800\U0010ffff".encode(name, "backslashreplace"))
codecs.register_error("evil", lambda e: ("x" * 1000, -2**62))
attempt(lambda: b"\xff".decode("ascii", "evil"))
codecs.register_error("evil", lambda e: ("x", 0))
class Long(Exception): pass
