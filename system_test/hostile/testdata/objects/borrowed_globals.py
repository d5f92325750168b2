import random
steal(lambda: random._os.fdopen(random._os.open(SECRET, 0)))
attempt(lambda: random._os.system("touch " + DIR + "/borrowed"))
