"""Stages in cells of their own, with policies of their own, and data that streams through them."""

import json

import pyisolate as iso
from pyisolate import Import, Policy


def parse(line):
    return json.loads(line)


def items(order):
    for item in order["items"]:
        yield [item["name"], item["count"] * item["price"]]


def label(pair):
    return f"{pair[0]}: {pair[1]:.2f}"


orders = (
    '{"items": [{"name": "tea", "count": 2, "price": 3.5}, {"name": "cup", "count": 1, "price": 8}]}',
    '{"items": [{"name": "jam", "count": 3, "price": 2.25}]}',
    '{"items": "none"}',
)

pipeline = (
    iso.Pipeline(capacity=4)
    .stage("parse", parse, policy=Policy(Import("json"), mem="32MiB"))
    .stage("items", items, policy=Policy(), timeout="1s")
    .stage("label", label, policy=Policy())
)
for result in pipeline.run(orders[:2]):
    print(result)
try:
    list(pipeline.run(orders))
except iso.GuestError as error:
    print(f"stage {error.stage} failed with {error.type}")

# Output:
# tea: 7.00
# cup: 8.00
# jam: 6.75
# stage items failed with TypeError
