# Word statistics over the text on standard input:
#   pyisolate-node run --stdin examples/data/gettysburg.txt examples/wordstats.py
import re
import sys
from collections import Counter

words = Counter()
lines = longest = 0
for line in sys.stdin:
    lines += 1
    longest = max(longest, len(line.rstrip("\n")))
    words.update(re.findall(r"[a-z']+", line.lower()))

post({
    "lines": lines,
    "longest_line": longest,
    "words": sum(words.values()),
    "distinct": len(words),
    "top": [[word, n] for word, n in sorted(words.items(), key=lambda kv: (-kv[1], kv[0]))[:5]],
})
