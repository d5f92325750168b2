import stringprep, unicodedata, string, re
print(unicodedata.name("☃"), unicodedata.normalize("NFKD", "ﬁé").encode("ascii", "ignore"), "ß".upper(), "İ".lower().encode(), "\N{SNOWMAN}", "Straße".casefold())
print("日本".isalpha(), "٣".isdecimal(), unicodedata.east_asian_width("日"), "\udc80".encode("utf-8", "surrogatepass"), "e\u0301" == unicodedata.normalize("NFD", "é"))
