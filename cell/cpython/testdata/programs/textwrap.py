import textwrap
text = "The quick brown fox jumped over the lazy dog, and then it went home to rest."
print(textwrap.fill(text, 30, initial_indent="* ", subsequent_indent="  "))
print(textwrap.shorten(text, 25), repr(textwrap.dedent("""
    a
      b
    c""")), textwrap.indent("a\nb", "> "))
