import bisect, heapq, array, queue
h = [5, 1, 4]; heapq.heapify(h)
print([heapq.heappop(h) for _ in range(3)], heapq.nlargest(2, [3, 9, 5]), list(heapq.merge([1, 4], [2, 3])))
print(bisect.bisect([1, 2, 2, 3], 2), array.array("d", [1, 2]).tobytes().hex())
q = queue.PriorityQueue(); q.put((2, "b")); q.put((1, "a"))
print(q.get(), q.qsize())
