import random
r = random.Random(42)
print(r.random(), r.randint(1, 6), r.sample(range(10), 3), r.choices("ab", k=5), r.gauss(0, 1), r.getrandbits(70))
random.seed(1); x = list(range(5)); random.shuffle(x); print(x)
print(0 <= random.SystemRandom().random() < 1)
