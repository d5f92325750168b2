import http.cookies, http.client, http, urllib.error, urllib.parse as u, urllib.request, urllib.robotparser
print(u.urlsplit("https://u:p@h:8/a/b;c?q=1&r=%C3%A9#f"), u.parse_qs("a=1&a=2&b="), u.urlencode({"k": "é v"}), u.urljoin("http://a/b/c", "../d"), u.quote("a/ü"))
r = urllib.request.Request("http://h/x", data=b"1", headers={"A": "b"})
print(r.get_method(), r.host, http.HTTPStatus(404).phrase, http.cookies.SimpleCookie("a=1; b=2")["b"].value)
