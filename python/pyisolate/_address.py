"""Where the node is: what a program says, or else its surroundings."""

from __future__ import annotations

import os
import stat
import urllib.parse
from dataclasses import dataclass, replace
from typing import Optional

from . import _context, errors

SERVER_ENV = "PYISOLATE_SERVER"
SOCKET_ENV = "PYISOLATE_SOCKET"
TOKEN_ENV = "PYISOLATE_TOKEN"
CA_ENV = "PYISOLATE_CA"

_DEFAULT_PORT = 8443


@dataclass(frozen=True)
class Address:
    """A node to call: a unix socket, or a host and port, and what to show it."""

    path: str = ""  #: of a unix socket; empty: it is a host
    host: str = ""
    port: int = 0
    tls: bool = False
    token: str = ""
    ca: str = ""  #: a file of certificates to trust; empty: the system's

    def __str__(self) -> str:
        if self.path:
            return self.path
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    @property
    def authority(self) -> str:
        """What the header Host says."""
        return "node" if self.path else str(self).partition("://")[2]

    def with_token(self, token: Optional[str]) -> "Address":
        """This address, called with a token."""
        if token is None:
            return self
        if token and (not token.isascii() or not token.isprintable() or " " in token):
            raise errors.Invalid("the token has characters that no token has")
        return replace(self, token=token)


def parse(text: str) -> Address:
    """The address of ``/path``, ``unix:///path``, ``http://host:port`` or ``https://host:port``."""
    if text.startswith("unix:"):
        path = urllib.parse.unquote(text[5:])
        text = "/" + path.lstrip("/") if path.startswith("//") else path
    if text.startswith(("/", "./", "../")):
        if len(os.fsencode(text)) > 107:
            raise errors.Invalid(
                f"the socket's path has {len(os.fsencode(text))} bytes; 107 are the most: {text}"
            )
        return Address(path=text)
    try:
        u = urllib.parse.urlsplit(text)
        port = u.port
    except ValueError as error:
        raise errors.Invalid(f"server {text!r}: {error}") from None
    if (
        u.scheme not in ("http", "https")
        or not u.hostname
        or u.path not in ("", "/")
        or u.query
        or u.username
    ):
        raise errors.Invalid(f"server {text!r}: write /path/of/a.sock, http://host:port or https://host:port")
    tls = u.scheme == "https"
    return Address(
        host=u.hostname,
        port=port or (_DEFAULT_PORT if tls else 80),
        tls=tls,
        ca=os.environ.get(CA_ENV, "") if tls else "",
    )


def resolve(server: Optional[str], token: Optional[str]) -> Optional[Address]:
    """The node to call: the argument's, that of $PYISOLATE_SERVER, of the command line's
    current context, or one that listens where nodes do; None: there is none."""
    if token is None:
        token = os.environ.get(TOKEN_ENV) or None
    text = server or os.environ.get(SERVER_ENV)
    if text:
        return (_context.named(text) or parse(text)).with_token(token)
    current = _context.current()
    if current is not None:
        return current.with_token(token)
    path = default_socket()
    return Address(path=path).with_token(token) if path and _is_socket(path) else None


def default_socket() -> str:
    """Where a node of this user listens, as the command line has it; empty: nowhere."""
    path = os.environ.get(SOCKET_ENV)
    if path:
        return path
    directory = "/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "")
    return os.path.join(directory, "pyisolate", "node.sock") if directory else ""


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False
