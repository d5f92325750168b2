import calendar, time
print(calendar.month(2024, 2), calendar.monthrange(2023, 2), calendar.isleap(2000), calendar.timegm((2020, 1, 1, 0, 0, 0)))
print(time.strftime("%Y-%m-%d %j", time.gmtime(0)), time.strptime("5 Mar 2020", "%d %b %Y").tm_yday, calendar.Day(0).name)
