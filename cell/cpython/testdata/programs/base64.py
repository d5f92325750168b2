import base64, binascii, quopri
print(base64.b64encode(b"\x00\xffhi"), base64.b32encode(b"hi"), base64.b85encode(b"hello"), base64.urlsafe_b64decode("-_8="), quopri.encodestring("é".encode()))
try:
    base64.b64decode("a", validate=True)
except binascii.Error as e:
    print(e)
