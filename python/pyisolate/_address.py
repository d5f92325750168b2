"""Where the node is: what a program says, or else its surroundings."""

from __future__ import annotations

import ipaddress
import os
import stat
import urllib.parse
from dataclasses import dataclass, replace
from typing import Optional

from . import _context, errors

SERVER_ENV = "PYISOLATE_SERVER"
SOCKET_ENV = "PYISOLATE_SOCKET"
CONTEXT_ENV = "PYISOLATE_CONTEXT"
TOKEN_ENV = "PYISOLATE_TOKEN"
TOKEN_FILE_ENV = "PYISOLATE_TOKEN_FILE"
CA_ENV = "PYISOLATE_CA"


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


def parse(text: str, ca: str = "") -> Address:
    """The address of ``/path``, ``unix:///path``, ``https://host:port`` or, on this machine,
    ``http://host:port``."""
    if text.startswith("unix://"):
        text = text[len("unix://") :]
        if not text.startswith("/"):
            raise errors.Invalid(f"server unix://{text}: write unix:///PATH")
    if text.startswith(("/", "./", "../")):
        if len(os.fsencode(text)) > 107:
            raise errors.Invalid(f"server {text}: a socket's path has 107 bytes at most")
        return Address(path=text)
    try:
        u = urllib.parse.urlsplit(text)
        port = u.port
    except ValueError as error:
        raise errors.Invalid(f"server {text!r}: {error}") from None
    if (
        u.scheme not in ("http", "https")
        or not u.hostname
        or not port
        or u.path not in ("", "/")
        or u.query
        or u.username
    ):
        raise errors.Invalid(
            f"server {text!r}: write unix:///PATH, https://HOST:PORT or http://127.0.0.1:PORT"
        )
    if u.scheme == "http" and not _is_here(u.hostname):
        raise errors.Invalid(
            f"server {text!r}: unencrypted only on this machine, as a token can be read on its way"
        )
    tls = u.scheme == "https"
    return Address(host=u.hostname, port=port, tls=tls, ca=(ca or os.environ.get(CA_ENV, "")) if tls else "")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def resolve(server: Optional[str], token: Optional[str]) -> Optional[Address]:
    """The node to call, as the command line finds it: the argument's; that of
    $PYISOLATE_SERVER, $PYISOLATE_SOCKET or $PYISOLATE_CONTEXT; of the current context; or one
    that listens where nodes do. None: there is none."""
    environ = os.environ
    if token is None:
        token = environ.get(TOKEN_ENV) or None
    if token is None and environ.get(TOKEN_FILE_ENV):
        token = _context.token_of(environ[TOKEN_FILE_ENV])
    text = server or environ.get(SERVER_ENV) or environ.get(SOCKET_ENV)
    if server == "":  # as of a variable without a value: the default may be another's
        raise errors.Invalid("server '' is empty: name the node, or leave it out")
    if text:
        return parse(os.path.abspath(text) if text == environ.get(SOCKET_ENV) else text).with_token(token)
    context = _context.named(environ[CONTEXT_ENV]) if environ.get(CONTEXT_ENV) else _context.current()
    if context is not None:
        if token is None:
            token = context.get("token") or (
                _context.token_of(context["token-file"]) if context.get("token-file") else None
            )
        return parse(context["server"], context.get("ca", "")).with_token(token)
    path = default_socket()
    return Address(path=path).with_token(token) if path and _is_socket(path) else None


def default_socket() -> str:
    """Where a node of this user listens, as the command line has it; empty: nowhere."""
    directory = "/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "")
    return os.path.join(directory, "pyisolate", "node.sock") if directory else ""


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False
