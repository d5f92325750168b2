import email, email.policy
from email.message import EmailMessage
m = EmailMessage()
m["Subject"], m["To"], m["From"] = "Grüße", "a@x.org", "Bé <b@y.org>"
m.set_content("Höllo\n"); m.add_attachment(b"\0\1", maintype="application", subtype="octet-stream", filename="f.bin")
m.set_boundary("BB")
text = m.as_bytes()
print(text.decode("utf-8"))
n = email.message_from_bytes(text, policy=email.policy.default)
print(n["subject"], n.get_body().get_content(), [a.get_filename() for a in n.iter_attachments()])
