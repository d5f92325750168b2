# What functions of the library's make again, of classes of the guest's.
import array
import datetime
import logging
import zoneinfo


class Zone(zoneinfo.ZoneInfo):
    def says(self, of=None):
        return of


kept, other = Zone("UTC"), Zone.no_cache("UTC")
Zone.first = kept
Zone.says.__defaults__ = (kept,)
kept.note, other.note = [kept], 2
when = datetime.datetime(2020, 1, 1, tzinfo=kept)


class Samples(array.array):
    __slots__ = ("rate", "__dict__")


samples, plain = Samples("b", [1]), Samples("b")
samples.rate, samples.by = samples, "me"


class Log(logging.Logger):
    pass


logging.setLoggerClass(Log)
log = logging.getLogger("mine")
# --- after ---
assert Zone("UTC") is kept is Zone.first is when.tzinfo is kept.says() and kept.note == [kept]
assert type(other) is Zone and other is not kept and other.note == 2
assert samples.rate is samples and vars(samples) == {"by": "me"} and samples.tolist() == [1]
assert type(plain) is Samples and vars(plain) == {} and not hasattr(plain, "rate")
assert log is logging.getLogger("mine")
