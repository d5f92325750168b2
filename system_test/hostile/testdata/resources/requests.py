while True:
    try: request("fs.read", "read", {"path": SECRET})
    except Exception: pass
