import ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
attempt(context.load_verify_locations, DIR + "/certificate")
for known in attempt(lambda: context.get_ca_certs()) or (): tell(repr(known))
attempt(context.load_cert_chain, SECRET)
attempt(lambda: setattr(context, "keylog_filename", DIR + "/keys"))
attempt(context.load_dh_params, SECRET)
