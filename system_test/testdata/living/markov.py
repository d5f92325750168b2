# A model of which word follows which, trained from a file, that goes on writing.
import collections
import random
import re


class Model:
    def __init__(self, order):
        self.order = order
        self.next = collections.defaultdict(collections.Counter)
        self.words = 0

    def train(self, text):
        words = re.findall(r"[\w']+|[.,;]", text.lower())
        for i in range(len(words) - self.order):
            self.next[tuple(words[i : i + self.order])][words[i + self.order]] += 1
        self.words += len(words)

    def writer(self, seed):
        chance = random.Random(seed)
        state = chance.choice(sorted(self.next))

        def write(n):
            nonlocal state
            out = []
            for _ in range(n):
                choices = self.next.get(state)
                if not choices:
                    state = chance.choice(sorted(self.next))
                    choices = self.next[state]
                word = chance.choices(list(choices), choices.values())[0]
                out.append(word)
                state = (*state[1:], word)
            return " ".join(out)

        return write


model = Model(2)
with open(SOURCE) as f:
    model.train(f.read())
del f
write = model.writer(11)


def step(i):
    if i % 7 == 0:
        model.train(write(20))
    return [write(12), model.words, len(model.next)]
