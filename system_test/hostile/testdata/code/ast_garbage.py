import ast
for node in (ast.Constant(value=object()), ast.Name(id="None", ctx=ast.Store()), ast.Call(), ast.BinOp(), ast.Constant(value=...)):
    tree = ast.Expression(body=node)
    attempt(lambda: compile(ast.fix_missing_locations(tree), "x", "eval"))
loop = ast.List(elts=[], ctx=ast.Load())
loop.elts.append(loop)
attempt(lambda: compile(ast.fix_missing_locations(ast.Expression(body=ast.Tuple(elts=[], ctx=ast.Del()))), "x", "eval"))
attempt(lambda: compile(ast.Expression(body=loop), "x", "eval"))
