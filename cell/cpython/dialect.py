# The restricted dialect: assignments, expressions and move-only ownership; what can be
# decided before running is. Runs in the support module's namespace, after errors.py, when
# the first program asks for it.

_moved = {}  # name -> line it was moved on; lives as long as the cell
_PURE = frozenset(
    "abs all any bool divmod float int len max min pow round sorted str sum".split()
)
_DOORS = frozenset("post log metric recv request".split())


class _Gate:
    """Checks one module of the restricted dialect and rewrites move()."""

    def __init__(self, file):
        import _ast

        self.file = file
        self.ast = _ast
        self.gone = {}  # name -> line, decided statically
        self.maybe = 0  # inside a branch that may not run

    def error(self, node, message, kind=SyntaxError):
        where = f"{self.file}, line {getattr(node, 'lineno', '?')}"
        raise kind(f"{message} ({where})")

    def module(self, tree):
        for statement in tree.body:
            self.statement(statement)
        return tree

    def statement(self, node):
        kind = type(node).__name__
        if kind == "Expr":
            node.value = self.value(node.value)
        elif kind == "Assign":
            node.value = self.owned(node.value)
            for target in node.targets:
                self.target(target)
        elif kind == "AugAssign":
            node.value = self.value(node.value)
            self.use(node.target) if type(node.target).__name__ == "Name" else self.target(node.target)
        elif kind == "AnnAssign" and node.value is not None:
            node.value = self.owned(node.value)
            self.target(node.target)
        elif kind != "Pass":
            self.error(node, f"{kind} is not part of the restricted dialect")

    def target(self, node):
        kind = type(node).__name__
        if kind == "Name":
            if node.id.startswith("__") or node.id in _PURE or node.id in _DOORS or node.id == "move":
                self.error(node, f"the name {node.id!r} is reserved")
            self.gone.pop(node.id, None)
            _moved.pop(node.id, None)
        elif kind in ("Tuple", "List"):
            for item in node.elts:
                self.target(item)
        elif kind == "Subscript":
            node.value = self.value(node.value)
            node.slice = self.value(node.slice)
        else:
            self.error(node, f"assignment to {kind} is not part of the restricted dialect")

    def use(self, node):
        if node.id.startswith("__"):
            self.error(node, f"the name {node.id!r} is reserved")
        line = self.gone.get(node.id) or _moved.get(node.id)
        if line:
            self.error(node, f"{node.id!r} was moved on line {line}", OwnershipError)

    def owned(self, node):
        """A value that gets an owner: a bare name would give it a second one."""
        if type(node).__name__ == "Name":
            self.use(node)
            return self.check("_share", node, node)
        return self.value(node)

    def check(self, function, node, *args):
        a = self.ast
        call = a.Call(
            a.Name(function, a.Load()),
            [*args, a.Constant(node.lineno)],
            [],
        )
        return _at(call, node)

    def value(self, node):
        kind = type(node).__name__
        method = getattr(self, "on_" + kind, None)
        if method is None:
            self.error(node, f"{kind} is not part of the restricted dialect")
        return method(node) or node

    def on_Constant(self, node):
        pass

    def on_Name(self, node):
        self.use(node)

    def on_children(self, node):
        for field in node._fields:
            child = getattr(node, field)
            if isinstance(child, list):
                child[:] = [self.value(c) if isinstance(c, self.ast.expr) else c for c in child]
            elif isinstance(child, self.ast.expr):
                setattr(node, field, self.value(child))

    on_BinOp = on_UnaryOp = on_Compare = on_Slice = on_Subscript = on_children
    on_JoinedStr = on_FormattedValue = on_children

    def on_BoolOp(self, node):
        node.values[0] = self.value(node.values[0])
        self.maybe += 1
        node.values[1:] = [self.value(v) for v in node.values[1:]]
        self.maybe -= 1

    def on_IfExp(self, node):
        node.test = self.value(node.test)
        self.maybe += 1
        node.body = self.owned(node.body)
        node.orelse = self.owned(node.orelse)
        self.maybe -= 1

    def on_List(self, node):
        node.elts = [self.owned(e) for e in node.elts]

    on_Tuple = on_Set = on_List

    def on_Dict(self, node):
        if None in node.keys:
            self.error(node, "** is not part of the restricted dialect")
        node.keys = [self.value(k) for k in node.keys]
        node.values = [self.owned(v) for v in node.values]

    def on_Call(self, node):
        if type(node.func).__name__ != "Name":
            self.error(node, "only named functions may be called in the restricted dialect")
        name = node.func.id
        if name == "move":
            return self.move(node)
        if name not in _PURE and name not in _DOORS:
            self.error(node, f"{name}() is not part of the restricted dialect")
        node.args = [self.value(arg) for arg in node.args]
        for keyword in node.keywords:
            if keyword.arg is None:
                self.error(node, "** is not part of the restricted dialect")
            keyword.value = self.value(keyword.value)

    def move(self, node):
        if len(node.args) != 1 or node.keywords or type(node.args[0]).__name__ != "Name":
            self.error(node, "move() takes one name")
        name = node.args[0]
        self.use(name)
        if not self.maybe:
            self.gone[name.id] = node.lineno
        return self.check("_move", node, _at(self.ast.Constant(name.id), node))


def _at(node, like):
    """Gives a made node, and what it is made of, the place of another."""
    for field in ("lineno", "col_offset", "end_lineno", "end_col_offset"):
        setattr(node, field, getattr(like, field))
    for field in node._fields:
        child = getattr(node, field, None)
        for item in child if isinstance(child, list) else [child]:
            if hasattr(item, "_fields") and "lineno" in item._attributes and not hasattr(item, "lineno"):
                _at(item, like)
    return node


def _restricted(source, file):
    """Compiles source of the restricted dialect, or raises."""
    import _ast

    tree = compile(source, file, "exec", _ast.PyCF_ONLY_AST, True)
    return compile(_Gate(file).module(tree), file, "exec", 0, True)


def _run_restricted(code):
    import __main__

    names = __main__.__dict__
    held = {k: names[k] for k in ("_share", "_move") if k in names}
    names["_share"], names["_move"] = _share, _move
    try:
        exec(code, names)
    except NameError as error:
        if error.name in _moved:
            line = _moved[error.name]
            raise OwnershipError(
                f"{error.name!r} was moved on line {line} (line {error.__traceback__.tb_next.tb_lineno})"
            ) from None
        raise
    finally:
        del names["_share"], names["_move"]
        names.update(held)


def _share(value, line):
    if isinstance(value, (list, dict, set)):
        raise OwnershipError(f"a {type(value).__name__} has one owner; use move() (line {line})")
    return value


def _move(name, line):
    import __main__

    names = __main__.__dict__
    if name not in names:
        if name in _moved:
            raise OwnershipError(f"{name!r} was moved on line {_moved[name]} (line {line})")
        raise NameError(f"name {name!r} is not defined", name=name)
    _moved[name] = line
    return names.pop(name)
