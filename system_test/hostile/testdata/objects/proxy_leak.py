class Leak:
    def __eq__(self, other):
        attempt(other.__setitem__, "real", 9)
        attempt(other.update, {"__abs__": lambda self: 9})
        return True
    def __ror__(self, other):
        return attempt(other.__setitem__, "__abs__", lambda self: 9)
attempt(lambda: int.__dict__ == Leak())
attempt(lambda: str.__dict__ | Leak())
