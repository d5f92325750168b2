import io, keyword, token, tokenize, symtable
for t in tokenize.generate_tokens(io.StringIO("x = f'{a!r}' # c\n").readline):
    print(token.tok_name[t.type], repr(t.string))
print(tokenize.detect_encoding(iter([b"# -*- coding: latin-1 -*-\n"]).__next__)[0], keyword.iskeyword("match"), keyword.softkwlist)
s = symtable.symtable("def f(a):\n  global g\n  b = a\n  return lambda: b\n", "<s>", "exec")
f = [c for c in s.get_children() if c.get_type() == "function"][0]
print(f.get_name(), f.get_parameters(), f.get_globals(), f.lookup("b").is_local())
