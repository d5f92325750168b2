"""Values in and out of a cell, what it logs and measures, and topics."""

import pyisolate as iso

program = """
import json
while (order := recv()) is not None:
    log("info", "order", item=order["item"])
    metric("orders", 1)
    post({"item": order["item"], "total": order["count"] * 2.5})
"""

with iso.spawn("shop", allowed_imports=["json"], topics=["news"]) as cell:
    for order in ({"item": "tea", "count": 2}, {"item": "cup", "count": 1}, None):
        cell.post(order)
    cell.exec(program)
    for post in cell.posts(timeout=0.1):
        print(post)
    for said in cell.logs():
        if isinstance(said, iso.Log):
            print(said.level, said.message, said.fields)
        elif isinstance(said, iso.Metric):
            print(said.name, said.value)
    print("heard by", iso.publish("news", "closing soon"))
    cell.exec("post(recv())")
    print(cell.recv())

# Output:
# {'item': 'tea', 'total': 5.0}
# {'item': 'cup', 'total': 2.5}
# info order {"item":"tea"}
# orders 1.0
# info order {"item":"cup"}
# orders 1.0
# heard by 1
# closing soon
