import sys
def hook(event, args):
    if event == "open": raise RuntimeError("hidden")
sys.addaudithook(hook)
steal(lambda: open(SECRET))
def hook(event, args):
    for thing in args:
        if type(thing) is list: thing[:] = []
sys.addaudithook(hook)
steal(lambda: open(SECRET))
