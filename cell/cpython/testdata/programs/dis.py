import dis, io, opcode
def f(a):
    for x in a:
        if x: return x + 1
out = io.StringIO()
dis.dis(f, file=out)
print(out.getvalue())
print([i.opname for i in dis.get_instructions("x = 1")], dis.stack_effect(opcode.opmap["POP_TOP"]))
