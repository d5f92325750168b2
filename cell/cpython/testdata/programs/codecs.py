import codecs
for name in ("utf8", "UTF-8", "latin1", "ascii", "cp437", "utf-16-le", "utf-7", "koi8-r", "shift_jis", "gb18030", "big5", "idna", "punycode", "utf-8-sig", "mac-roman", "iso8859-15", "euc_kr"):
    i = codecs.lookup(name)
    text = {"ascii": "abc", "idna": "bücher", "koi8-r": "привет", "shift_jis": "日本", "gb18030": "中", "big5": "中", "euc_kr": "한"}.get(name, "Aé")
    print(name, i.name, text.encode(name).hex(), text.encode(name).decode(name) == text, isinstance(i, codecs.CodecInfo), i.streamreader is not None, i._is_text_encoding)
print(codecs.encode("abc", "rot13"), codecs.decode(b"616263", "hex"), codecs.encode(b"a" * 5, "base64"), codecs.encode(b"x", "zlib")[:2])
u = codecs.lookup("utf-8")
print(repr(u).partition(" at ")[0], u.encode("é"), u.incrementaldecoder().decode(b"\xc3"), type(u.incrementalencoder()).__module__, u.streamwriter.__name__)
print("é☃".encode("ascii", "xmlcharrefreplace"), "é".encode("ascii", "namereplace"), b"\xff".decode("utf-8", "surrogateescape").encode("utf-8", "surrogateescape"))
codecs.register_error("x", lambda e: ("?!", e.end)); print("aéb".encode("ascii", "x"))
codecs.register(lambda n: codecs.lookup("utf-8") if n == "mine" else None); print("é".encode("mine"))
for bad in ("nope", "hex"):
    try:
        "x".encode(bad)
    except LookupError as e:
        print(e)
print(list(codecs.iterdecode([b"\xe2", b"\x98\x83"], "utf-8")), codecs.BOM_UTF8, codecs.getreader("utf-8").__name__)
