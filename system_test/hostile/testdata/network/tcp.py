import socket, urllib.request, http.client, ftplib, smtplib
attempt(socket.create_connection, ("127.0.0.1", TCP), 1)
attempt(lambda: urllib.request.urlopen("http://127.0.0.1:%d/" % TCP, timeout=1))
attempt(lambda: http.client.HTTPConnection("127.0.0.1", TCP, timeout=1).request("GET", "/"))
attempt(lambda: ftplib.FTP().connect("127.0.0.1", TCP, 1))
attempt(lambda: smtplib.SMTP("127.0.0.1", TCP, timeout=1))
