import typing
from typing import Annotated, Generic, NamedTuple, Optional, Protocol, TypedDict, TypeVar, get_type_hints, runtime_checkable
T = TypeVar("T")
class Box(Generic[T]):
    item: "Optional[T]"
class Movie(TypedDict, total=False):
    name: str
class E(NamedTuple):
    id: int = 3
@runtime_checkable
class Has(Protocol):
    def close(self): ...
import io
def f[K: str](a: list[K], b: Annotated[int, "meta"] = 0) -> dict[str, K] | None: ...
print(Box[int], get_type_hints(Movie), E(), isinstance(io.StringIO(), Has), get_type_hints(f, include_extras=True))
print(typing.get_args(dict[str, int]), f.__type_params__, typing.Literal["a", 1])
