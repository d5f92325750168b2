from dataclasses import asdict, astuple, dataclass, field, fields, replace
@dataclass(order=True, frozen=True, slots=True)
class Point:
    x: int
    y: int = 0
    tags: list = field(default_factory=list, compare=False)
p = Point(1, 2)
print(p, replace(p, y=5), asdict(p), astuple(p), Point(0) < p, [f.name for f in fields(p)])
try:
    p.x = 3
except Exception as e:
    print(type(e).__name__, e)
