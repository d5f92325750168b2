# Tables of rows that are dicts, with an index, and queries made of conditions.
import operator
import re
import uuid


class Table:
    def __init__(self, *columns, key):
        self.columns, self.key, self.rows, self.index, self.triggers = columns, key, [], {}, []

    def insert(self, **row):
        if row[self.key] in self.index:
            raise KeyError(f"duplicate {row[self.key]!r}")
        row = {name: row.get(name) for name in self.columns}
        self.rows.append(row)
        self.index[row[self.key]] = row
        for trigger in self.triggers:
            trigger(row)
        return row

    def select(self, *names, where=lambda row: True, order=None):
        found = [row for row in self.rows if where(row)]
        if order:
            found.sort(key=operator.itemgetter(order))
        return [[row[n] for n in names] for row in found]

    def join(self, other, on):
        return [{**row, **other.index[row[on]]} for row in self.rows if row[on] in other.index]

    def delete(self, where):
        gone = [row for row in self.rows if where(row)]
        for row in gone:
            self.rows.remove(row)
            del self.index[row[self.key]]
        return len(gone)


OPERATORS = {"=": operator.eq, "<": operator.lt, ">": operator.gt}


def where(text):
    name, op, value = re.fullmatch(r"(\w+) *([=<>]) *(\w+)", text).groups()
    value = int(value) if value.isdigit() else value
    return lambda row: OPERATORS[op](row[name], value)


people = Table("id", "name", "age", "town", key="id")
towns = Table("town", "size", key="town")
grown = {}
people.triggers.append(lambda row: grown.setdefault(row["town"], []).append(row))
for i, town in enumerate(["Aa", "Bb", "Cc"]):
    towns.insert(town=town, size=i * 100)
saved = where("age > 40")
space = uuid.UUID(int=7)


def step(i):
    name = str(uuid.uuid5(space, str(i)))[:8]
    people.insert(id=i, name=name, age=(i * 37) % 90, town=["Aa", "Bb", "Cc", "Dd"][i % 4])
    if i % 5 == 4:
        people.delete(where("age < 20"))
    oldest = people.select("name", "age", where=saved, order="age")[-3:]
    same = grown["Aa"][0] is people.index.get(0, grown["Aa"][0])
    return [oldest, len(people.join(towns, "town")), {k: len(v) for k, v in grown.items()}, same]
