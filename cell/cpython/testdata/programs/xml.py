import xml.etree.ElementTree as ET
from xml.dom import minidom
from xml.sax.saxutils import escape
root = ET.fromstring("<r a='1'><c>x &amp; é</c><c/></r>")
ET.SubElement(root, "d").text = "<"
print(ET.tostring(root, encoding="unicode"), [e.tag for e in root.iter()], root.find("c").text)
print(minidom.parseString("<a><b/></a>").toxml(), escape("<&>"))
try:
    ET.fromstring("<a>")
except ET.ParseError as e:
    print(e)
