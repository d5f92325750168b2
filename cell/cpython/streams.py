# The standard streams. Runs in the support module's namespace when one is first used.


class _Writer:
    """sys.stdout and sys.stderr: whole lines become log records."""

    encoding = "utf-8"
    errors = "backslashreplace"
    newlines = None
    line_buffering = True
    closed = False

    def __init__(self, name):
        self.name = name
        self._level = name[1:-1]
        self._line = ""

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        whole, newline, rest = (self._line + text).rpartition("\n")
        if newline:
            for line in whole.split("\n"):
                _c.log(self._level, line, None)
        if len(rest) > 8192:
            _c.log(self._level, rest, None)
            rest = ""
        self._line = rest
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        if self._line:
            line, self._line = self._line, ""
            _c.log(self._level, line, None)

    def isatty(self):
        return False

    def writable(self):
        return True

    def readable(self):
        return False

    seekable = readable

    def fileno(self):
        raise OSError("a cell's streams have no file descriptor")

    @property
    def buffer(self):
        return _Bytes(self)

    def close(self):
        self.flush()


class _Bytes:
    """The binary side of a _Writer."""

    def __init__(self, text):
        self._text = text

    def write(self, data):
        data = bytes(data)
        self._text.write(data.decode("utf-8", "backslashreplace"))
        return len(data)

    def flush(self):
        self._text.flush()


def _inbox():
    """sys.stdin that reads the inbox: bytes items are the stream, None its end."""
    import io

    class Inbox(io.RawIOBase):
        _rest = b""
        _ended = False

        def readable(self):
            return True

        def readinto(self, into):
            while not self._rest and not self._ended:
                item = recv()
                if item is None:
                    self._ended = True
                elif isinstance(item, str):
                    self._rest = item.encode()
                else:
                    self._rest = bytes(item)
            n = min(len(into), len(self._rest))
            into[:n] = self._rest[:n]
            self._rest = self._rest[n:]
            return n

    return io.TextIOWrapper(io.BufferedReader(Inbox(), 65536), encoding="utf-8", errors="replace")


def _empty():
    """sys.stdin that was given nothing."""
    import io

    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8")


def _stream(name):
    if name not in _made:
        _made[name] = _empty() if name == "<stdin>" else _Writer(name)
    return _made[name]
