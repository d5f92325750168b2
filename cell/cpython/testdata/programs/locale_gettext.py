import gettext, locale
print(locale.getlocale(locale.LC_CTYPE)[1] in (None, "UTF-8"), locale.getpreferredencoding(False), locale.str(1.5), locale.atof("2.5"), locale.normalize("de_DE"))
print(gettext.gettext("hi"), gettext.NullTranslations().ngettext("a", "b", 2), gettext.translation("none", fallback=True).gettext("x"))
