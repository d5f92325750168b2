import abc
class Shape(abc.ABC):
    @property
    @abc.abstractmethod
    def area(self): ...
    @classmethod
    def __subclasshook__(cls, other):
        return True if hasattr(other, "area") else NotImplemented
class Sq(Shape):
    area = 4
class Duck:
    area = 1
class Odd: pass
Shape.register(Odd)
print(Sq().area, isinstance(Duck(), Shape), issubclass(Odd, Shape), isinstance(3, Shape), Shape.__abstractmethods__)
try:
    Shape()
except TypeError as e:
    print(e)
print(sorted(n for n in dir(abc) if not n.startswith("_")), abc.get_cache_token() >= 0)
