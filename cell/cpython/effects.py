# The helper objects of pyisolate_guest: request() under natural names. Runs in the support
# module's namespace, after errors.py, when a cell first asks for a name that is not there.
# It imports nothing.


class FileError(RequestFailed, OSError):
    """An allowed request to the files failed; also an OSError."""


class FileNotFound(FileError, FileNotFoundError):
    """There is no such file; also a FileNotFoundError."""


def _data(value):
    """What a payload can carry, as bytes."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"data must be str or bytes-like, not {type(value).__name__}")


def _packed(header, data):
    """A JSON object and bytes in one value."""
    header = _c.encode(header)
    return len(header).to_bytes(4, "big") + header + _data(data)


def _unpacked(value):
    end = 4 + int.from_bytes(value[:4], "big")
    return _c.decode(value[4:end]), value[end:]


def _base64(data):
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    out = []
    for i in range(0, len(data), 3):
        three = data[i : i + 3]
        bits = int.from_bytes(three + bytes(3 - len(three)), "big")
        four = [letters[bits >> shift & 63] for shift in (18, 12, 6, 0)]
        out += four[: len(three) + 1] + ["="] * (3 - len(three))
    return "".join(out)


def _content(data):
    """Data inside a JSON object: text if it is UTF-8, else base64."""
    data = _data(data)
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": _base64(data)}


def _given(**options):
    """The options that differ from the capability's default."""
    return {name: value for name, value in options.items() if value is not None and value is not False}


def _pages(ask, payload, items, name):
    """All items of a listing that comes in pages; the next begins after the last name."""
    found = []
    while True:
        answer = ask(payload)
        found += answer[items]
        if not answer["more"] or not answer[items]:
            return found
        payload["after"] = answer[items][-1][name]


class _Files:
    """Files of the node, as far as fs.read, fs.list and fs.write are granted."""

    __slots__ = ()

    def _ask(self, capability, action, payload):
        try:
            return request(capability, action, payload)
        except RequestFailed as error:
            failure = (FileNotFound if error.kind == "NotFound" else FileError)(str(error))
            failure.kind = error.kind
        raise failure

    def read(self, path, offset=None, length=None):
        """The file's bytes: all, or at most `length` from `offset` on."""
        return self._ask("fs.read", "get", {"path": path, **_given(offset=offset, length=length)})

    def read_text(self, path, encoding="utf-8"):
        return self.read(path).decode(encoding)

    def stat(self, path):
        """A dict of type ("file", "directory", "other"), size in bytes and modified_ns."""
        return self._ask("fs.read", "stat", {"path": path})

    def exists(self, path):
        try:
            self.stat(path)
        except FileNotFound:
            return False
        return True

    def list(self, path):
        """The entries in the order of their names: dicts of name and what stat tells."""
        return _pages(lambda payload: self._ask("fs.list", "list", payload), {"path": path}, "entries", "name")

    def write(self, path, data, *, exclusive=False, sync=False):
        """Replaces the file as a whole and returns its size. `exclusive` refuses to
        replace one; `sync` returns when the disk has it."""
        header = {"path": path, **_given(exclusive=exclusive, sync=sync)}
        return self._ask("fs.write", "put", _packed(header, data))["size"]

    def append(self, path, data, *, sync=False):
        """Adds to the file's end, creating it, and returns its size."""
        return self._ask("fs.write", "append", _packed({"path": path, **_given(sync=sync)}, data))["size"]

    def mkdir(self, path):
        self._ask("fs.write", "mkdir", {"path": path})

    def delete(self, path):
        """Deletes a file, a link or an empty directory."""
        self._ask("fs.write", "delete", {"path": path})


class Response:
    """An HTTP answer: status, url, headers and content (bytes). Names of headers are in
    lower case; several values of one are joined by ", "."""

    __slots__ = ("status", "url", "headers", "content")

    def __init__(self, status, url, headers, content):
        self.status = status
        self.url = url
        self.headers = headers
        self.content = content

    def __repr__(self):
        return f"<Response {self.status}, {len(self.content)} bytes>"

    @property
    def ok(self):
        return 200 <= self.status < 300

    @property
    def text(self):
        """The content in the charset that the answer names, else UTF-8."""
        for part in self.headers.get("content-type", "").split(";")[1:]:
            key, _, charset = part.strip().partition("=")
            if key.lower() == "charset":
                try:
                    return self.content.decode(charset.strip("\"'"), "replace")
                except (LookupError, ValueError):
                    break
        return self.content.decode("utf-8", "replace")

    def json(self):
        return _c.decode(self.content)


class _HTTP:
    """Requests to the hosts that http.fetch grants. Every status is an answer."""

    __slots__ = ()

    def fetch(self, url, method="GET", *, headers=None, data=None, json=None, follow=True):
        """Asks and returns a Response. `data` is the body, or `json` a value to encode
        as one. With `follow` false, a redirect is the answer."""
        headers = dict(headers or {})
        if json is not None:
            if data is not None:
                raise TypeError("give data or json, not both")
            data = _c.encode(json)
            if not any(name.lower() == "content-type" for name in headers):
                headers["Content-Type"] = "application/json"
        payload = {"url": url, "method": method, "headers": headers, "raw": True}
        if not follow:
            payload["follow"] = False
        answer = request("http.fetch", "fetch", payload if data is None else _packed(payload, data))
        head, content = _unpacked(answer)
        lower = {name.lower(): ", ".join(values) for name, values in head["headers"].items()}
        return Response(head["status"], head.get("url", url), lower, content)

    def get(self, url, **options):
        return self.fetch(url, "GET", **options)

    def head(self, url, **options):
        return self.fetch(url, "HEAD", **options)

    def post(self, url, data=None, **options):
        return self.fetch(url, "POST", data=data, **options)

    def put(self, url, data=None, **options):
        return self.fetch(url, "PUT", data=data, **options)

    def patch(self, url, data=None, **options):
        return self.fetch(url, "PATCH", data=data, **options)

    def delete(self, url, **options):
        return self.fetch(url, "DELETE", **options)


class _KV:
    """The tenant's store. Values are bytes; str is stored as UTF-8."""

    __slots__ = ()

    def get(self, key, default=None):
        value = request("kv", "get", {"key": key})
        return default if value is None else value

    def put(self, key, value):
        request("kv", "put", _packed({"key": key}, value))

    def delete(self, key):
        """True if the key was there."""
        return request("kv", "delete", {"key": key})["deleted"]

    def cas(self, key, expect, value):
        """Sets the key to `value` if it holds `expect` now, and tells whether it did.
        None as `expect` means no value; None as `value` deletes."""
        header = {"key": key, "expect": None if expect is None else _content(expect)}
        payload = {**header, "delete": True} if value is None else _packed(header, value)
        return request("kv", "cas", payload)["swapped"]

    def list(self, prefix=None):
        """The keys that begin with `prefix`, or all that are granted, in order."""
        pages = _pages(lambda payload: request("kv", "list", payload), _given(prefix=prefix), "keys", "key")
        return [entry["key"] for entry in pages]

    def usage(self):
        """A dict of keys, bytes, max_keys and max_bytes."""
        return request("kv", "usage")


class _Secrets:
    """The secrets that secrets.get grants by name."""

    __slots__ = ()

    def get(self, name):
        """The value: str, or bytes if it is not UTF-8."""
        return request("secrets.get", "get", {"name": name})

    def list(self):
        """The granted names."""
        return request("secrets.get", "list")


class _Clock:
    """The node's time."""

    __slots__ = ()

    def now_ns(self):
        """Nanoseconds since 1970."""
        return request("clock", "now")["unix_ns"]

    def now(self):
        """Seconds since 1970, a float."""
        return self.now_ns() / 1e9

    def monotonic_ns(self):
        """Nanoseconds since some point in the node's life, never going back."""
        return request("clock", "monotonic")["ns"]

    def monotonic(self):
        return self.monotonic_ns() / 1e9


class _Random:
    """The kernel's generator."""

    __slots__ = ()

    def bytes(self, n):
        """`n` random bytes, 1 to 65,536."""
        return request("random", "bytes", {"n": n})


class Completed:
    """How a program ended: exit (-1 if by a signal), signal, killed ("wall" or "output" if
    the node ended it, else None), stdout and stderr (bytes), duration_ms."""

    __slots__ = ("exit", "signal", "killed", "stdout", "stderr", "duration_ms")

    def __init__(self, head, output):
        middle = head["stdout_bytes"]
        self.exit = head["exit"]
        self.signal = head.get("signal")
        self.killed = head.get("killed")
        self.stdout = output[:middle]
        self.stderr = output[middle:]
        self.duration_ms = head["duration_ms"]

    def __repr__(self):
        return f"<Completed exit={self.exit} signal={self.signal} killed={self.killed}>"


def run(argv, input=None):
    """Runs a program that subprocess.run grants, its path first in `argv`, with `input` as
    standard input. Returns a Completed."""
    payload = {"argv": list(argv), "raw": True}
    answer = request("subprocess.run", "run", payload if input is None else _packed(payload, input))
    return Completed(*_unpacked(answer))


files = _Files()
http = _HTTP()
kv = _KV()
secrets = _Secrets()
clock = _Clock()
random = _Random()
