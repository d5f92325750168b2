"""Sends functions to cells: their source, and the values that they use.

A cell has the standard library and what it is sent, and nothing of this program. So a function
is sent as a program that defines it anew: with the values of its defaults, its closure and
the globals that it uses, and with the functions among them, which are sent alike. What cannot
be sent is an error that says which name has it, before anything runs.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import dis
import enum
import inspect
import math
import os
import re
import sys
import sysconfig
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, Callable, Dict, Iterator, List, Optional, Set, Tuple

from . import _source
from .errors import NotShippable, PyIsolateError

_DEPTH = 100
A_METHOD = "is a method, whose object cannot be sent to a cell; make it a function of what it needs"
_GUEST = ("post", "recv", "log", "metric", "request")
# Lines of a guest's own words can look like this: their numbers are bounded.
_FRAME = re.compile(r'^( *)File "([^"]+)", line ([1-9][0-9]{0,8}), in .*$')


class Shipment:
    """A function on its way: run ``code`` in a cell, and ``entry`` is its name there."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._functions: Dict[int, str] = {}
        self._values: Dict[int, str] = {}
        self._modules: Dict[str, str] = {}
        self._keep: List[Any] = []  # so that no two things have one id
        self._files: Dict[str, str] = {}  # what each is called there
        self._texts: Dict[str, List[str]] = {}
        self._lines: List[str] = []
        self.name = getattr(function, "__qualname__", repr(function))
        self.entry = "__shipped__"
        self._lines.append(f"{self.entry} = {self._function(raw(function, self.name))}")
        self.code = "\n".join(self._lines) + "\n"

    def explain(self, error: PyIsolateError) -> None:
        """Puts the lines of the source into a guest's traceback, which has their numbers."""
        lines = error.traceback.split("\n")
        out: List[str] = []
        for n, line in enumerate(lines):
            out.append(line)
            frame = _FRAME.match(line)
            bare = n + 1 >= len(lines) or not lines[n + 1].startswith("    ")
            if frame and bare:
                text = self._texts.get(frame[2], [])
                at = int(frame[3]) - 1
                if at < len(text) and text[at].strip():
                    out.append(f"{frame[1]}  {text[at].strip()}")
        error.traceback = "\n".join(out)

    def _function(self, f: FunctionType) -> str:
        """Sends a function once, and returns what it is called."""
        if id(f) in self._functions:
            return self._functions[id(f)]
        what = _source.describe(f)
        source = _source.of(f)
        space, name = f"__space{len(self._functions)}__", f"__function{len(self._functions)}__"
        self._functions[id(f)] = name
        self._keep.append(f)
        file = self._file(source.path)
        self._remember(file, source.text)
        self._lines.append(f'{space} = {{"__name__": "__main__", "__builtins__": __builtins__}}')
        self._lines.append(f"exec(compile({source.text!r}, {file!r}, 'exec'), {space})")
        # Now: what it uses by its own name may be another, as what a decorator has made of it.
        self._lines.append(f"{name} = {space}[{source.name!r}]")
        outside = _used(f, what)
        for module in sorted(_submodules(source.node, {**_defaults(f), **dict(outside)})):
            self._module(module)
        for used, value in outside:
            if isinstance(value, ModuleType) and value.__name__ == used == "posixpath":  # and not os.path
                self._lines.append(f"{space}[{used!r}] = {self._module(used)}")
            elif value is not f or used != source.name:
                self._lines.append(f"{space}[{used!r}] = {self._value(value, f'{what} uses {used!r}', 0)}")
        for used in _GUEST:
            self._lines.append(f"{space}.setdefault({used!r}, {used})")
        self._send_defaults(f, name, what)
        return name

    def _send_defaults(self, f: FunctionType, name: str, what: str) -> None:
        given = f.__defaults__ or ()
        names = f.__code__.co_varnames[f.__code__.co_argcount - len(given) :]
        sent = [self._value(v, f"{what} has the default {n!r}", 0) for n, v in zip(names, given)]
        if sent:
            self._lines.append(f"{name}.__defaults__ = ({', '.join(sent)},)")
        named = (f.__kwdefaults__ or {}).items()
        sent = [f"{n!r}: {self._value(v, f'{what} has the default {n!r}', 0)}" for n, v in named]
        if sent:
            self._lines.append(f"{name}.__kwdefaults__ = {{{', '.join(sent)}}}")

    def _file(self, path: str) -> str:
        """What a file is called in tracebacks: its name, with as many of the directories as
        tell it from the others that are sent."""
        if path not in self._files:
            taken, parts = self._files.values(), path.split(os.sep)
            tails = (os.sep.join(parts[n:]) for n in range(len(parts) - 1, -1, -1))
            name = next((t for t in tails if t not in taken), f"{path}#{len(taken)}")
            self._files[path] = name or "<function>"
        return self._files[path]

    def _remember(self, file: str, text: str) -> None:
        had = self._texts.setdefault(file, [])
        new = text.split("\n")
        had.extend([""] * (len(new) - len(had)))
        for n, line in enumerate(new):
            if line and line != "if 1:":
                had[n] = line

    def _value(self, value: Any, what: str, depth: int) -> str:
        """An expression for a value, which the guest evaluates."""
        if depth > _DEPTH:
            raise NotShippable(f"{what}: it is nested deeper than {_DEPTH} levels, or contains itself")
        kind = type(value)
        if value is None or value is ... or kind in (bool, str, bytes):
            return repr(value)
        if kind is int:
            return hex(value)  # Python bounds the digits of decimal ones
        if kind is float:
            return repr(value) if math.isfinite(value) else f"float({str(value)!r})"
        if kind is complex:
            return f"complex({self._value(value.real, what, depth)}, {self._value(value.imag, what, depth)})"
        if kind in (list, dict, set, tuple, frozenset, bytearray):
            return self._container(value, what, depth)
        if isinstance(value, re.Pattern):
            pattern = self._value(value.pattern, what, depth)
            return f"{self._module('re')}.compile({pattern}, {value.flags & ~int(re.DEBUG)})"
        if isinstance(value, ModuleType):
            if not _is_standard(value.__name__):
                raise NotShippable(
                    f"{what}, the module {value.__name__}, which is not in the standard library"
                )
            return self._module("os.path" if value is os.path else value.__name__)
        original = getattr(value, "__pyisolate_function__", None)
        if isinstance(original, FunctionType):
            value = original
        if isinstance(value, FunctionType) and not _is_standard(value.__module__):
            return self._function(value)
        found = self._by_name(value)
        if found is None:
            raise NotShippable(f"{what}, {_kind(value)}, which cannot be sent to a cell{_instead(value)}")
        return found

    def _container(self, value: Any, what: str, depth: int) -> str:
        if id(value) in self._values:
            return self._values[id(value)]
        if isinstance(value, bytearray):
            text = f"bytearray({bytes(value)!r})"
        elif isinstance(value, dict):
            parts = [
                f"{self._value(k, what, depth + 1)}: {self._value(v, f'{what}[{k!r}]', depth + 1)}"
                for k, v in value.items()
            ]
            text = f"{{{', '.join(parts)}}}"
        else:
            inner = ", ".join(self._value(v, f"{what}[{n}]", depth + 1) for n, v in enumerate(value))
            # Which is right for lists, tuples and sets alike, also those without entries.
            text = f"{type(value).__name__}([{inner}])"
        # What two functions share here, they share there.
        name = f"__value{len(self._values)}__"
        self._lines.append(f"{name} = {text}")
        self._values[id(value)] = name
        self._keep.append(value)
        return name

    def _module(self, name: str) -> str:
        if name not in self._modules:
            self._modules[name] = f"__module{len(self._modules)}__"
            self._lines.append(f"import {name} as {self._modules[name]}")
        return self._modules[name]

    def _by_name(self, value: Any) -> Optional[str]:
        """A name that means the same in the standard library of the cell."""
        if not callable(value) and not isinstance(value, enum.Enum):
            return None
        owner = getattr(value, "__self__", None)
        for thing in (value, owner, type(value), type(owner)):
            module = getattr(thing, "__module__", None)
            if not isinstance(module, str) or not _is_standard(module):
                continue
            for home in (_public(module), module):
                path = _path(value, sys.modules.get(home))
                if path is not None:
                    return path if home == "builtins" else f"{self._module(home)}.{path}"
        return None


def _path(value: Any, module: Optional[ModuleType]) -> Optional[str]:
    """What a value is called in a module."""
    path = getattr(value, "__qualname__", None)
    at: Any = module
    for part in path.split(".") if isinstance(path, str) else ():
        at = getattr(at, part, None)
    # The methods of a class that is built in are made each time.
    if isinstance(path, str) and (at is value or isinstance(value, BuiltinFunctionType) and at == value):
        return path
    return next((name for name, other in vars(module).items() if other is value), None) if module else None


def _public(module: str) -> str:
    """The module that programs import for what is in another, which it may be of: _heapq, posixpath."""
    name = {"posix": "os", "posixpath": "os.path"}.get(module, module.lstrip("_"))
    return name if name in sys.modules else module


def raw(function: Callable[..., Any], what: str) -> FunctionType:
    """The function to send for a callable."""
    function = getattr(function, "__pyisolate_function__", function)
    if isinstance(function, FunctionType):
        _source.require_ordinary(function)
        return function
    if isinstance(function, staticmethod):
        raise NotShippable(f"{what}: put @sandbox next to the function, below @staticmethod")
    if hasattr(function, "__func__"):
        raise NotShippable(f"{what} {A_METHOD}")
    if isinstance(function, type):
        raise NotShippable(f"{what} is a class; send a function")
    if hasattr(function, "__wrapped__"):
        raise NotShippable(
            f"{what} was wrapped by {_kind(function)}; put @sandbox next to the function, below other decorators"
        )
    raise NotShippable(f"{what} is {_kind(function)} and no Python function")


def _used(f: FunctionType, what: str) -> List[Tuple[str, Any]]:
    """The names from outside that a function uses, with what they mean now."""
    names: Set[str] = set()
    _loads(f.__code__, f, names, what, set())
    out: List[Tuple[str, Any]] = []
    for name in sorted(names):
        if name == "__name__":
            continue
        if name in f.__globals__:
            value = f.__globals__[name]
            if getattr(builtins, name, _loads) is not value:
                out.append((name, value))
        elif not hasattr(builtins, name) and name not in _GUEST and not name.startswith("__"):
            raise NotShippable(f"{what} uses {name!r}, which is not defined")
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or ()):
        if name == "__class__":
            raise NotShippable(f"{what} is a method of a class, which cannot be sent to a cell")
        try:
            out.append((name, cell.cell_contents))
        except ValueError:
            raise NotShippable(f"{what} uses {name!r}, which has no value yet") from None
    return out


def _loads(code: CodeType, f: FunctionType, names: Set[str], what: str, around: Set[str]) -> None:
    """Adds the names that code and what is in it look for outside of the function. ``around``
    are those that the body of the class around it makes."""
    own: Set[str] = set() if code.co_flags & inspect.CO_OPTIMIZED else _made(code)
    for i in dis.get_instructions(code):
        if "GLOBAL" in i.opname or i.opname == "LOAD_NAME":
            if not i.opname.startswith("LOAD"):
                raise NotShippable(
                    f"{what} changes the global {i.argval!r}, and a cell has none of yours: return the value instead"
                )
            # The body of a class finds its own names first, and so do annotations in it.
            first = {"LOAD_NAME": own, "LOAD_FROM_DICT_OR_GLOBALS": around}.get(i.opname, set())
            if i.argval in first and i.argval not in f.__globals__:
                continue
            if i.opname != "LOAD_NAME" or not i.argval.startswith("__"):
                names.add(i.argval)
        elif i.opname in ("STORE_DEREF", "DELETE_DEREF") and i.argval in f.__code__.co_freevars:
            raise NotShippable(
                f"{what} changes {i.argval!r} of the function around it, which is not in the cell: return the value instead"
            )
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _loads(constant, f, names, what, own or around)


def _submodules(node: _source.Node, known: Dict[str, Any]) -> Set[str]:
    """The modules that a function uses as attributes of others, as of ``import xml.dom``: what a name
    means is only the first of them. ``known`` is what its names mean when it begins."""
    names: Dict[str, Set[str]] = {}
    for name, value in known.items():
        if isinstance(value, ModuleType):
            names[name] = {value.__name__}
    held = _held(known)

    def meant(e: ast.expr) -> Set[str]:
        if isinstance(e, ast.Name):
            return names.get(e.id, set())
        if isinstance(e, ast.Attribute):
            # What a function takes out of a value may be any of the modules that are in it.
            return {n for m in meant(e.value) | held if _is_submodule(n := f"{m}.{e.attr}")}
        return meant(e.value) if isinstance(e, ast.NamedExpr) else set()

    inside, size = list(ast.walk(node)), -1
    while size != (size := sum(map(len, names.values()))):  # until no name means more than before
        for name, modules in (found for n in inside for found in _named(n, meant)):
            names.setdefault(name, set()).update(modules)
    return {m for e in inside if isinstance(e, ast.Attribute) for m in meant(e)}


def _held(known: Dict[str, Any]) -> Set[str]:
    """The modules that lists, dicts and the like have, at any depth."""
    found: Set[str] = set()
    seen: Set[int] = set()
    left = list(known.values())
    while left:
        value = left.pop()
        if type(value) in (list, dict, set, tuple, frozenset) and id(value) not in seen:
            seen.add(id(value))
            inside = list(value.values() if isinstance(value, dict) else value)
            found.update(v.__name__ for v in inside if isinstance(v, ModuleType))
            left += inside
    return found


def _named(n: ast.AST, meant: Callable[[ast.expr], Set[str]]) -> Iterator[Tuple[str, Set[str]]]:
    """The names that a statement or an expression gives to modules."""
    if isinstance(n, ast.Import):
        for a in n.names:
            name = a.asname or a.name.partition(".")[0]
            yield name, {a.name if a.asname else name}
    elif isinstance(n, ast.ImportFrom):
        for a in n.names:
            if _is_submodule(f"{n.module}.{a.name}"):
                yield a.asname or a.name, {f"{n.module}.{a.name}"}
    elif isinstance(n, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) and n.value is not None:
        targets: List[ast.expr] = n.targets if isinstance(n, ast.Assign) else [n.target]
        for target in targets:
            if isinstance(target, ast.Name):
                yield target.id, meant(n.value)


def _defaults(f: FunctionType) -> Dict[str, Any]:
    return {p.name: p.default for p in inspect.signature(f, follow_wrapped=False).parameters.values()}


def _is_submodule(name: str) -> bool:
    found = sys.modules.get(name)
    # os.path is one that its module imports, by another name.
    return isinstance(found, ModuleType) and found.__name__ == name and _is_standard(name)


def _made(code: CodeType) -> Set[str]:
    return {i.argval for i in dis.get_instructions(code) if i.opname == "STORE_NAME"}


def _kind(value: Any) -> str:
    kind = value if isinstance(value, type) else type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"the class {name}" if isinstance(value, type) else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _instead(value: Any) -> str:
    if isinstance(value, type):
        return ": define it in the function"
    if isinstance(value, enum.Enum):
        return ": send its value"
    if dataclasses.is_dataclass(value):
        return ": send dataclasses.asdict() of it"
    if callable(value):
        return ": import it in the function, or send a function of your own"
    return ": make it of numbers, texts, bytes, lists, tuples, sets and dicts"


def _is_standard(module: Optional[str]) -> bool:
    top = (module or "").partition(".")[0]
    names = getattr(sys, "stdlib_module_names", None)
    if names is not None:
        return top in names or top == "builtins"
    if top in sys.builtin_module_names or top == "builtins":
        return True
    file = getattr(sys.modules.get(top), "__file__", None) or ""
    inside = file.startswith((sysconfig.get_path("stdlib") + "/", sysconfig.get_path("platstdlib") + "/"))
    return inside and "site-packages" not in file
