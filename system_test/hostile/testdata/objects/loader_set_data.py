import json
loader = json.__spec__.loader
attempt(loader.set_data, VICTIM, b"changed")
attempt(loader.set_data, DIR + "/new", b"made")
