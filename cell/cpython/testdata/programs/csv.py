import csv, io
out = io.StringIO()
w = csv.DictWriter(out, ["name", "note"], quoting=csv.QUOTE_MINIMAL)
w.writeheader()
w.writerows([{"name": "a,b", "note": 'say "hi"'}, {"name": "c", "note": "two\nlines"}])
print(repr(out.getvalue()))
print(list(csv.DictReader(io.StringIO(out.getvalue()))), csv.Sniffer().sniff("a;b\n1;2\n").delimiter)
