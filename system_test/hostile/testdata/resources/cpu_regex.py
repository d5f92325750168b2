import re
re.match("(a|a)*$", "a" * 60 + "b")
