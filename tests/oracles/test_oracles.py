"""The table of oracles: every one that is written is in it, and so judges every run."""

import importlib
import pkgutil
from collections.abc import Iterator

import cosim.oracles
from cosim.oracles import ORACLES, Book, Bounds, Oracle


def written() -> Iterator[type[Oracle]]:
    """The oracles of all files of the package."""
    for module in pkgutil.iter_modules(cosim.oracles.__path__, "cosim.oracles."):
        for kind in vars(importlib.import_module(module.name)).values():
            if isinstance(kind, type) and issubclass(kind, Oracle) and kind.__module__ == module.name:
                yield kind


def missing(oracles: Iterator[type[Oracle]]) -> list[str]:
    return [oracle.__name__ for oracle in oracles if oracle is not Oracle and oracle not in ORACLES.values()]


def test_every_oracle_is_in_the_table():
    assert not missing(written()), "not among ORACLES in cosim/oracles/__init__.py"


def test_one_that_is_not_would_be_named():
    class Forgotten(Oracle):
        name = "forgotten"

    assert missing(iter([Forgotten])) == ["Forgotten"]


def test_none_keeps_what_follows_from_bounds_that_may_change():
    def kept(oracle: Oracle) -> dict[str, object]:
        return {name: value for name, value in vars(oracle).items() if name not in ("bounds", "_report")}

    for oracle in ORACLES.values():
        books: dict[type[Book], Book] = {}
        short, long = (oracle(lambda _: None, Bounds(store_ps=n, answer_ps=n), books) for n in (1, 10**9))
        assert kept(short) == kept(long), oracle.name


def test_each_has_a_name_of_its_own_and_listens_with_methods_that_it_has():
    assert len(ORACLES) == len({oracle.name for oracle in ORACLES.values()})
    for oracle in ORACLES.values():
        assert oracle.watches, oracle.name
        assert all(callable(getattr(oracle, method)) for method in oracle.watches.values()), oracle.name
