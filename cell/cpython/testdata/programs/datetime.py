from datetime import UTC, date, datetime, timedelta, timezone
d = datetime(2024, 2, 29, 12, 30, tzinfo=UTC)
print(d.isoformat(), d + timedelta(days=366), d.astimezone(timezone(timedelta(hours=-5))).strftime("%Y-%m-%d %H:%M %z %A"))
print(datetime.strptime("2024-03-01 01:02", "%Y-%m-%d %H:%M"), datetime.fromisoformat("2020-01-01T00:00:00Z"))
print(date(2024, 12, 30).isocalendar(), timedelta(seconds=90061), date.max - date.min)
