import inspect, textwrap, json, abc, codecs, io, os
print(inspect.signature(textwrap.fill), inspect.signature(json.dumps).parameters["indent"].default, inspect.isfunction(json.dumps))
for obj in (textwrap.dedent, json.JSONEncoder, codecs.open, abc.update_abstractmethods, os.walk):
    try:
        print(obj.__name__, len(inspect.getsource(obj)) > 100, os.path.basename(inspect.getsourcefile(obj)))
    except (OSError, TypeError) as e:
        print(obj.__name__, type(e).__name__, e)
print(inspect.getmodule(json.dumps).__name__, inspect.getdoc(textwrap.dedent).splitlines()[0], inspect.getmro(bool))
print(inspect.getdoc(codecs.open).splitlines()[0], inspect.getdoc(io.IOBase).splitlines()[0], inspect.getdoc(abc.ABCMeta).splitlines()[0])
