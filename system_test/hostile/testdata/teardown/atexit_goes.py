import functools, operator, sys
def gone():
    # As the cell ends no bytecode runs: C code alone lets go of who is asked for _clear.
    asked = map(operator.attrgetter("nothing"), map(sys.modules.__delitem__, ["atexit"]))
    class Gone(list):
        __getattribute__ = staticmethod(functools.partial(next, asked))
        def __getattr__(self, name): pass
    return Gone([object()] * 1000)
sys.modules["atexit"] = gone()
