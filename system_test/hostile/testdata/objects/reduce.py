import pickle
for gadget in (b"cio\nopen\n(V" + SECRET.encode() + b"\ntR.", b"cos\nsystem\n(Vtouch " + DIR.encode() + b"/reduce\ntR.",
               b"cbuiltins\nopen\n(V" + SECRET.encode() + b"\ntR."):
    steal(lambda: pickle.loads(gadget))
