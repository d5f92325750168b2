import itertools as it, operator
print(list(it.batched("abcdefg", 3)), list(it.pairwise(range(4))), list(it.accumulate([1, 2, 3], operator.mul)))
print({k: list(g) for k, g in it.groupby(sorted("banana"))}, list(it.islice(it.cycle("ab"), 5)))
print(len(list(it.permutations(range(4)))), list(it.zip_longest([1], [2, 3], fillvalue=0)))
