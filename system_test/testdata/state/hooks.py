class Connection:
    def __init__(self, host):
        self.host, self.line, self.used = host, (i for i in range(3)), 0

    def __checkpoint__(self):
        return {"host": self.host, "used": self.used}

    def __restore__(self, state):
        self.__init__(state["host"])
        self.used = state["used"] + len(everything)


class Nothing:
    def __checkpoint__(self): ...

    def __restore__(self, state):
        self.state = state


everything = [1, 2, 3]
first = Connection("a")
nothing = Nothing()
pool = {"main": first, "copies": [first]}
running = (i for i in range(3))
taken = []


def __checkpoint__(names):
    taken.append(sorted(names)[:2])
    del names["running"]
    names["extra"] = "added"


def __restore__():
    global running
    running = (i for i in range(first.used))


# --- after ---
assert pool["main"] is first and pool["copies"][0] is first and first.host == "a" and first.used == 6
assert next(first.line) == 0 and len(list(running)) == 6 and extra == "added" and len(taken) == 2
assert nothing.state is None
