"""The contexts of the command line: servers by name, as ``pyisolate-node context`` keeps them.

Of YAML only the form that the command line writes is read; what else a hand has made of the
file is an error that says where, and never read as something that it is not.
"""

from __future__ import annotations

import json
import os
import re
import stat
from typing import Dict, List, Optional, Tuple

from . import errors

_MAX_FILE = 1 << 20
_MAX_TOKEN = 4096
_KEYS = ("name", "server", "ca", "token-file", "token")
_LINE = re.compile(r"(- |  )?([a-z-]+):(?: (.*))?")
_PLAIN = re.compile(r"[A-Za-z0-9/._~-]\S*(?<!:)")

Context = Dict[str, str]


def file() -> str:
    """Where the contexts of this user are."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(base, "pyisolate", "contexts.yml")


def named(name: str) -> Context:
    """A context; NotFound if there is none of the name."""
    _, contexts = _load(file())
    for c in contexts:
        if c["name"] == name:
            return c
    there = ", ".join(c["name"] for c in contexts) or "none"
    raise errors.NotFound(f"unknown context {name!r}; there are {there}")


def current() -> Optional[Context]:
    """The current context; None: there is none."""
    name, _ = _load(file())
    return named(name) if name else None


def token_of(path: str) -> str:
    """The token in a file, as the command line reads it."""
    try:
        with open(path, encoding="ascii") as f:
            return f.read(_MAX_TOKEN).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.Invalid(f"token file {path}: {error}") from None


def _load(path: str) -> Tuple[str, List[Context]]:
    try:
        with open(path, encoding="utf-8") as f:
            if os.fstat(f.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise errors.Invalid(f"{path} has tokens and is open to others: chmod 0600 {path}")
            return _parse(path, f.read(_MAX_FILE))
    except FileNotFoundError:
        return "", []
    except (OSError, UnicodeDecodeError) as error:
        raise errors.Invalid(f"{path}: {error}") from None


def _parse(path: str, text: str) -> Tuple[str, List[Context]]:
    chosen, contexts = "", []  # type: str, List[Context]
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        m = _LINE.fullmatch(line.rstrip())
        value = _scalar(m[3] or "") if m else None
        if m is None or value is None:
            raise errors.Invalid(
                f"{path}:{number}: write it as `pyisolate-node context` does, or set $PYISOLATE_SERVER"
            )
        if m[1] is None and m[2] == "current":
            chosen = value
        elif m[1] is None and m[2] == "contexts" and value == "":
            continue
        elif m[1] is not None and m[2] in _KEYS and (m[1] == "- " or contexts):
            if m[1] == "- ":
                contexts.append({})
            contexts[-1][m[2]] = value
        else:
            raise errors.Invalid(f"{path}:{number}: there is no {m[2]!r} here")
    for c in contexts:
        if "name" not in c or "server" not in c:
            raise errors.Invalid(f"{path}: a context has no name or no server")
    return chosen, contexts


def _scalar(text: str) -> Optional[str]:
    """The text of a value; None if it is none that the command line writes."""
    if text in ("", "[]"):
        return ""
    if text.startswith('"'):
        try:
            value = json.loads(text)
        except ValueError:
            return None
        return value if isinstance(value, str) else None
    if len(text) > 1 and text[0] == text[-1] == "'":
        inner = text[1:-1].replace("''", "\0")
        return None if "'" in inner else inner.replace("\0", "'")
    return text if _PLAIN.fullmatch(text) else None
