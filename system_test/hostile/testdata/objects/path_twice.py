class Twice:
    asked = 0
    def __fspath__(self):
        self.asked += 1
        return "/dev/null" if self.asked == 1 else SECRET
for skip in range(3):
    twice = Twice()
    twice.asked -= skip
    steal(lambda: open(twice))
