import html
from html.parser import HTMLParser
class P(HTMLParser):
    def handle_starttag(self, tag, attrs): print(tag, attrs)
    def handle_data(self, data): print(repr(data))
P().feed('<p class="x">a &eacute; b<br/></p>')
print(html.escape('<"&>'), html.unescape("&lt;&#8364;&hearts;"))
