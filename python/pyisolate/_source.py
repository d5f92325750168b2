"""The source of one function, as text that a cell can run.

A function is found in the source of its file by where its code begins. What belongs to its
surroundings is taken out: decorators, which were applied here, and default values, which are
sent as they are now. Lines keep their numbers, so that tracebacks of the guest lead to the
file that the programmer has.
"""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Dict, List, Tuple, Union

from .errors import NotShippable

Node = Union[ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda]

_parsed: Dict[str, Tuple[str, ast.Module]] = {}
_PARSED = 64


@dataclass(frozen=True)
class Source:
    """``text`` defines ``name``, on the lines that it has in the file at ``path``; ``node`` is its tree."""

    text: str
    name: str
    path: str
    node: Node


def of(function: FunctionType) -> Source:
    """The source of a function; NotShippable if it is not known."""
    require_ordinary(function)
    code, what = function.__code__, describe(function)
    try:
        lines, _ = inspect.findsource(code)
    except (OSError, TypeError, IndexError):
        raise NotShippable(
            f"{what}: its source is not known; functions of files and notebooks can be sent"
        ) from None
    node = _find(code, _tree(code.co_filename, "".join(lines)), what)
    given = [a.arg for a in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]]
    if given != list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]):
        raise NotShippable(f"{what}: its file has changed since it was loaded")
    text = _cut(node, [line.encode("utf-8") for line in lines])
    name = "_lambda"
    if isinstance(node, ast.Lambda):
        text = f"{name} = ({text})\n"
        before = "\n" * (node.lineno - 1)
    else:
        name = node.name
        # An indented definition stays as it is: moving it would change texts of several lines.
        before = "\n" * (node.lineno - 2) + "if 1:\n" if node.col_offset else "\n" * (node.lineno - 1)
    return Source(before + text, name, code.co_filename, node)


def require_ordinary(function: FunctionType) -> None:
    """NotShippable of an async function."""
    if function.__code__.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        raise NotShippable(
            f"{describe(function)}: an async function cannot be called in a cell; make it an ordinary one"
        )


def describe(function: FunctionType) -> str:
    """What a function is called in messages."""
    return f"{function.__module__}.{function.__qualname__}"


def _tree(file: str, text: str) -> ast.Module:
    known = _parsed.get(file)
    if known is not None and known[0] == text:
        return known[1]
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise NotShippable(f"{file} cannot be parsed: {error}") from None
    if len(_parsed) >= _PARSED:
        _parsed.clear()
    _parsed[file] = text, tree
    return tree


def _find(code: CodeType, tree: ast.Module, what: str) -> Node:
    found: List[Node] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda):
            if code.co_name == "<lambda>" and node.lineno == code.co_firstlineno:
                found.append(node)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if node.name == code.co_name and first == code.co_firstlineno:
                found.append(node)
    if len(found) > 1:
        found = [n for n in found if _holds(n, code)] or found
    if not found:
        raise NotShippable(
            f"{what}: line {code.co_firstlineno} of its file has no such function; has it changed since it was loaded?"
        )
    if len(found) > 1:
        raise NotShippable(
            f"{what}: line {code.co_firstlineno} has several of them; give each a line of its own"
        )
    return found[0]


def _holds(node: Node, code: CodeType) -> bool:
    """Whether code is of a node, by where on the line its instructions are."""
    positions = getattr(code, "co_positions", None)
    if positions is None or not isinstance(node, ast.Lambda):
        return False
    body = node.body
    begin, end = (body.lineno, body.col_offset), (body.end_lineno or 0, body.end_col_offset or 0)
    known = [(line, column) for line, _, column, _ in positions() if line is not None and column]
    return bool(known) and all(begin <= at <= end for at in known)


def _cut(node: Node, lines: List[bytes]) -> str:
    """The text of a definition without its decorators and with None for each default."""
    last = (node.end_lineno or node.lineno) - 1
    text = lines[node.lineno - 1 : last + 1]
    text[-1] = text[-1][: node.end_col_offset]
    defaults = [d for d in [*node.args.defaults, *node.args.kw_defaults] if d is not None]
    for d in sorted(defaults, key=lambda d: (d.lineno, d.col_offset), reverse=True):
        first, end = d.lineno - node.lineno, (d.end_lineno or d.lineno) - node.lineno
        tail = text[end][d.end_col_offset :]
        if first == end:
            text[first] = text[first][: d.col_offset] + b"None" + tail
        else:
            text[first] = text[first][: d.col_offset] + b"None\n"
            text[first + 1 : end] = [b"\n"] * (end - first - 1)
            text[end] = tail
    if isinstance(node, ast.Lambda):
        text[0] = text[0][node.col_offset :]
    return b"".join(text).decode("utf-8") + ("" if isinstance(node, ast.Lambda) else "\n")
