import pydoc, textwrap, string
print(pydoc.plain(pydoc.render_doc(textwrap.dedent)))
print(pydoc.plain(pydoc.render_doc("string.capwords")), pydoc.splitdoc("a\n\nb"), pydoc.locate("json.dumps").__name__)
print(len(pydoc.plain(pydoc.render_doc(string))) > 1000, len(pydoc.HTMLDoc().docmodule(textwrap)) > 1000)
try:
    pydoc.render_doc("no.such")
except ImportError as e:
    print(e)
