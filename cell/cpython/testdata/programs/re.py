import re
print(re.findall(r"(?P<k>\w+)=(?P<v>\d+)", "a=1, bb=22; c=x"))
print(re.sub(r"\b(\w)(\w*)", lambda m: m[1].upper() + m[2], "the quick brown fox"))
print(re.compile(r"(?i)straße").fullmatch("STRASSE"), re.split(r"[,;]\s*", "a, b;c"))
try:
    re.compile("(")
except re.error as e:
    print(type(e).__name__, e)
