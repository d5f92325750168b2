from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError
print(ZoneInfo("UTC").key, datetime(2024, 7, 1, tzinfo=ZoneInfo("UTC")).utcoffset())
try:
    ZoneInfo("Not/There")
except ZoneInfoNotFoundError as e:
    print(type(e).__name__, e)
