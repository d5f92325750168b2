import copy, copyreg, pickle, shelve, collections, datetime
class Node:
    def __init__(self, v):
        self.v, self.next = v, self
    def __reduce__(self):
        return (Node, (self.v,))
n = Node(3)
for p in range(pickle.HIGHEST_PROTOCOL + 1):
    assert pickle.loads(pickle.dumps(n, p)).v == 3
print(pickle.loads(pickle.dumps({"s": {1, 2}, "d": datetime.date(2020, 1, 1), "o": collections.OrderedDict(a=1)})))
print(pickle.loads(pickle.dumps(len)), pickle.loads(pickle.dumps(collections.Counter)))
try:
    pickle.dumps(lambda: 0)
except Exception as e:
    print(type(e).__name__)
