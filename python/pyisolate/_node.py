"""A private node: started for one process where none is configured, and ended with it.

The node listens on a socket in a directory that only this user can enter, and holds the end of
a pipe whose other end is this process's: when the process ends, however it does, the node
reads the end of the pipe and ends, too. A child that it has forked has no part in that.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import secrets
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from typing import IO, Dict, List, Optional

from . import errors
from ._address import Address

BINARY = "pyisolate-node"
BINARY_ENV = "PYISOLATE_NODE"

_KEPT = ("PYISOLATE_CACHE", "PYISOLATE_PYTHON", "PYISOLATE_NOGIL_SAFE_MODULES", "PYISOLATE_TEST_")
_PREFIX = "pyisolate-node-"
_OURS = f"{_PREFIX}{secrets.token_hex(4)}-"  # of this program's nodes, also of those that have ended
_SOCKET = "s"
_SHORT = "/tmp"  # where directories are whose paths would be too long
_START = 180.0  # seconds: the first start on a machine unpacks a Python
_END = 12.0  # seconds that a node takes to end its cells, at most

GET_IT = (
    "build it with `make build` or `go install github.com/pyisolate/pyisolate/cmd/pyisolate-node@latest` "
    f"and put it on PATH or name it in ${BINARY_ENV}"
)
_MISSING = (
    f"no node is configured, and there is no pyisolate-node to start one: {GET_IT}; "
    "or set $PYISOLATE_SERVER to a node that runs"
)


def find() -> str:
    """The binary of a node: $PYISOLATE_NODE, or the first of PATH, this environment's and this
    package's directories, and where `go install` puts it."""
    named = os.environ.get(BINARY_ENV)
    if named:
        if _runs(named):
            return os.path.abspath(named)
        raise errors.NodeMissing(f"${BINARY_ENV} is {named}, which is no program")
    on_path = shutil.which(BINARY)
    if on_path:
        return on_path
    package = os.path.dirname(os.path.realpath(__file__))
    places = [
        os.path.dirname(sys.executable or ""),
        os.path.join(package, "bin"),
        os.path.join(package, "..", "..", "bin"),  # of a source tree
        os.environ.get("GOBIN", ""),
        os.path.join(os.environ.get("GOPATH", "").split(os.pathsep)[0] or os.path.expanduser("~/go"), "bin"),
    ]
    for place in places:
        path = os.path.join(place, BINARY)
        if place and _runs(path):
            return os.path.normpath(path)
    raise errors.NodeMissing(_MISSING)


def _runs(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


class PrivateNode:
    """A node of this process. ``arguments`` are more flags of ``pyisolate-node serve``."""

    def __init__(self, arguments: Optional[List[str]] = None) -> None:
        binary = find()
        _sweep()
        self.directory = _directory()
        self.address = Address(path=os.path.join(self.directory, _SOCKET))
        self.log = os.path.join(self.directory, "log")
        self._pid = os.getpid()
        self._lock = threading.Lock()
        settings = os.path.join(self.directory, "node.yml")
        command = [binary, "serve", "--config", settings, "--socket", self.address.path]
        command += [
            "--data",
            os.path.join(self.directory, "data"),
            "--drain-timeout",
            "5s",
            "--exit-with-stdin",
        ]
        try:
            # Without settings, as those of this machine are of another node.
            with open(self.log, "wb") as log, open(settings, "wb"):
                # A session of its own: Ctrl-C is for the program, which ends the node.
                self._process = subprocess.Popen(
                    [*command, *(arguments or [])],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
                    env=_environment(), bufsize=0,
                )  # fmt: skip
        except OSError as error:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise errors.NodeMissing(f"{binary} could not be started: {error}") from error
        _nodes.add(self)
        atexit.register(self.close)
        try:
            self._ready(binary)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Of the node."""
        return self._process.pid

    def running(self) -> bool:
        """Whether it is there. In a forked child: whether its socket is."""
        if os.getpid() != self._pid:
            return os.path.exists(self.address.path)
        return self._process.stdin is not None and self._process.poll() is None

    def close(self) -> None:
        """Ends the node and its cells, and removes its directory. Does nothing in a child of
        the process that has started it."""
        with self._lock:
            if os.getpid() != self._pid or self._process.stdin is None:
                return
            atexit.unregister(self.close)
            stdin, self._process.stdin = self._process.stdin, None
            for pipe in (stdin, self._process.stdout):
                _close(pipe)
            self._process.terminate()  # also where some other process has the pipe's end
            try:
                self._process.wait(_END)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            shutil.rmtree(self.directory, ignore_errors=True)

    def _forked(self) -> None:
        """In a child: the pipe's end is the parent's alone, so that the node ends with that."""
        _close(self._process.stdin)

    def _ready(self, binary: str) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        until, line = time.monotonic() + _START, b""
        poll = select.poll()
        poll.register(stdout, select.POLLIN)
        while not line.endswith(b"\n") and len(line) < 4096:
            left = until - time.monotonic()
            if left <= 0:
                raise errors.Unavailable(f"{binary} was not ready within {_START:g} s{self._said()}")
            if not poll.poll(int(left * 1000) + 1):
                continue
            part = os.read(stdout.fileno(), 4096)
            if not part:
                code = self._process.wait()
                raise errors.Unavailable(
                    f"{binary} ended with status {code} instead of starting{self._said()}"
                )
            line += part
        _close(stdout)

    def _said(self) -> str:
        try:
            with open(self.log, "rb") as log:
                log.seek(max(0, os.path.getsize(self.log) - 2000))
                text = log.read().decode("utf-8", "replace").strip()
        except OSError:
            return ""
        return f"; it said:\n{text}" if text else ""


def _environment() -> Dict[str, str]:
    """This process's, without what configures other nodes than this one."""
    return {
        k: v
        for k, v in os.environ.items()
        if not k.startswith("PYISOLATE_") and k != "NOTIFY_SOCKET" or k.startswith(_KEPT)
    }


def _close(pipe: Optional[IO[bytes]]) -> None:
    if pipe is not None:
        try:
            pipe.close()
        except OSError:
            pass


def _directory() -> str:
    made = tempfile.mkdtemp(prefix=_OURS)  # 0700
    if len(os.fsencode(made)) > 100:  # a socket's path has 107 bytes
        os.rmdir(made)
        made = tempfile.mkdtemp(prefix=_OURS, dir=_SHORT)
    return made


def _sweep() -> None:
    """Removes what nodes have left whose programs were killed."""
    names: List[str] = []
    for parent in {tempfile.gettempdir(), _SHORT}:
        with contextlib.suppress(OSError):
            names += [
                e.path
                for e in os.scandir(parent)
                if e.name.startswith(_PREFIX) and e.is_dir(follow_symlinks=False)
            ]
    for path in names:
        try:
            if os.lstat(path).st_uid == os.geteuid() and _abandoned(path):
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue


def _abandoned(path: str) -> bool:
    """Whether no node has a directory: none holds its lock. One that starts has made none yet."""
    lock = os.path.join(path, "data", "lock")
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return time.time() - os.lstat(path).st_mtime > 3600
    try:
        if time.time() - os.fstat(fd).st_mtime < 60:
            return False  # whose node may be about to take it
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(fd)


_nodes: "weakref.WeakSet[PrivateNode]" = weakref.WeakSet()
_private: Optional[PrivateNode] = None
_lock = threading.Lock()


def private() -> PrivateNode:
    """The private node of this process, started with the first call."""
    global _private
    with _lock:
        if _private is None or not _private.running():
            _private = PrivateNode()
        return _private


def ended(address: Address) -> bool:
    """Whether an address is that of the private node, which is no more."""
    return _private is not None and _private.address == address and not _private.running()


def took_along(address: Address) -> bool:
    """Whether an address is that of a node of this process, also a supervisor's, that has ended with its cells."""
    directory, name = os.path.split(address.path)
    if name == _SOCKET and os.path.basename(directory).startswith(_OURS) and not os.path.exists(address.path):
        return True
    return any(n.address == address and not n.running() for n in list(_nodes))


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    for node in list(_nodes):
        node._forked()


os.register_at_fork(after_in_child=_after_fork)
