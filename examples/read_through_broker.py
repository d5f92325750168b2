"""Reads files through the broker: the only way for a cell to reach one.

Run it with a grant, and with as many paths as you like:

    pyisolate-node run --grant fs.read=/etc/os-release examples/read_through_broker.py /etc/os-release /etc/shadow
"""

import sys

for path in sys.argv[1:]:
    try:
        data = request("fs.read", "get", {"path": path})
    except Exception as error:
        post({"path": path, "error": type(error).__name__, "message": str(error)})
    else:
        text = data.decode() if isinstance(data, bytes) else data
        post({"path": path, "read": text})
