# Aggregates JSON lines from standard input: revenue and orders by country.
# A line that is not JSON is counted and logged, not fatal.
#   pyisolate-node run --stdin examples/data/orders.jsonl examples/jsonlines.py
import json
import sys
from collections import defaultdict

totals = defaultdict(lambda: {"orders": 0, "revenue": 0})
bad = 0
for number, line in enumerate(sys.stdin, 1):
    try:
        order = json.loads(line)
        entry = totals[order["country"]]
        entry["orders"] += 1
        entry["revenue"] += order["cents"]
    except (ValueError, KeyError) as error:
        bad += 1
        log("warning", "line skipped", line=number, reason=type(error).__name__)

for country in sorted(totals):
    post({"country": country, **totals[country]})
metric("lines_bad", bad)
