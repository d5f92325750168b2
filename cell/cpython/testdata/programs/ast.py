import ast
tree = ast.parse("def f(x: int) -> int:\n    return x + 1  # c\n")
print(ast.dump(tree, indent=1))
print(ast.unparse(tree), ast.literal_eval("{'a': [1, (2,)]}"))
class Swap(ast.NodeTransformer):
    def visit_Constant(self, node):
        return ast.copy_location(ast.Constant(41), node)
ns = {}
exec(compile(ast.fix_missing_locations(Swap().visit(tree)), "<s>", "exec"), ns)
print(ns["f"](1))
try:
    ast.parse("a b")
except SyntaxError as e:
    print(e.msg, e.lineno, e.offset)
