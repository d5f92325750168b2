for text in ("(" * 100000, "-" * 200000 + "1", "f(" * 50000 + ")" * 50000, "lambda:" * 50000 + "0", "[" * 5000 + "]" * 5000, "x" + ".a" * 300000, "if 1:\n " * 2000 + "pass", "1+" * 100000 + "1"):
    try: compile(text, "x", "eval" if "if" not in text else "exec")
    except (SyntaxError, RecursionError, MemoryError): pass
