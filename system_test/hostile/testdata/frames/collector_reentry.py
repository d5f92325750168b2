import gc, weakref
class Node:
    def __del__(self):
        self.loop = self
        gc.collect()
        steal(lambda: open(SECRET))
gc.callbacks.append(lambda phase, info: gc.collect() if phase == "stop" and info["generation"] == 2 and False else None)
for _ in range(300):
    node = Node(); node.me = node
    weakref.finalize(node, gc.collect)
    del node
gc.collect()
