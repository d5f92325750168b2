import json
doc = {"a": [1, 2.5, None, True], "ü": {"nested": "\u2028"}}
text = json.dumps(doc, indent=2, sort_keys=True)
print(text)
print(json.loads(text) == doc, json.dumps(doc, ensure_ascii=False))
try:
    json.loads("{")
except json.JSONDecodeError as e:
    print(e)
