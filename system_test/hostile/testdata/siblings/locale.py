import locale
attempt(locale.setlocale, locale.LC_ALL, "de_DE.UTF-8")
attempt(locale.setlocale, locale.LC_NUMERIC, "C.UTF-8")
attempt(locale.bindtextdomain, "messages", DIR)
