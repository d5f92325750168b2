# Exceptions with slots, and groups whose class takes other arguments than a group does.
class Sl(Exception):
    __slots__ = ("q",)
sl = Sl(1); sl.q = [sl]
class Errors(ExceptionGroup):
    def __new__(cls, errors, exit_code):
        self = super().__new__(Errors, f"exit code: {exit_code}", errors)
        self.exit_code = exit_code
        return self
    def derive(self, excs):
        return Errors(excs, self.exit_code)
err = ValueError(1)
e = Errors([err], 5)
g = ExceptionGroup("m", [err, e]); g.add_note("n")
err.group = g
b = BaseExceptionGroup("b", [KeyboardInterrupt()])
e.args = ()
# --- after ---
assert sl.q[0] is sl and sl.args == (1,)
assert e.exit_code == 5 and e.message == "exit code: 5" and e.exceptions == (err,) and e.args == ()
assert type(e.split(ValueError)[0]) is Errors
assert g.exceptions == (err, e) and g.exceptions[1] is e and err.group is g and g.__notes__ == ["n"] and g.args[1][0] is err, g.args
assert type(b) is BaseExceptionGroup
