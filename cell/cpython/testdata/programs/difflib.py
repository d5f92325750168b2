import difflib
a, b = "one two three".split(), "one tow three four".split()
print("\n".join(difflib.unified_diff(a, b, "a", "b", lineterm="")))
print(difflib.get_close_matches("appel", ["ape", "apple", "peach"]), round(difflib.SequenceMatcher(None, "abcd", "bcde").ratio(), 3))
