print("é".encode("cp1252"), b"\x80".decode("cp437"), "x".encode("UTF_8"), str(b"\xc3\xa9", "u8"))
try:
    "x".encode("no-such")
except LookupError as e:
    print(e)
import _codecs
print(type(_codecs.lookup("utf-8")).__module__, _codecs.lookup("utf-8").streamreader.__name__)
