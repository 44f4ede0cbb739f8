"""Who watches words or pages of memory is called when they change, and only then."""

from __future__ import annotations

from cosim.hw.memory.memory import Memory
from cosim.sim.transport import AccessKind
from cosim.spec.page import PAGE
from tests.hw.memory.test_memory import BASE, committed


def test_a_watcher_is_called_when_the_word_changes_and_only_then(memory: Memory) -> None:
    seen: list[int] = []
    stop = memory.watch(BASE + 4, lambda: seen.append(memory.peek(BASE, 8)))
    memory.write(BASE + 8, 8, 1)
    memory.write(BASE, 8, 0)
    memory.write(BASE, 4, 7)
    committed(memory, AccessKind.WRITE, BASE, 16, (9, 9))
    stop()
    memory.write(BASE, 8, 10)
    stop()
    assert seen == [7, 9]


def test_one_who_stops_watching_when_called_keeps_nobody_from_being_called(memory: Memory) -> None:
    seen: list[str] = []

    def once() -> None:
        seen.append("once")
        stop()

    stop = memory.watch(BASE, once)
    memory.watch(BASE, lambda: seen.append("always"))
    memory.write(BASE, 8, 1)
    memory.write(BASE, 8, 2)
    assert seen == ["once", "always", "always"]


def test_a_watcher_of_several_words_sees_all_of_them_changed(memory: Memory) -> None:
    seen: list[tuple[int, int]] = []
    memory.watch(BASE, lambda: seen.append((memory.peek(BASE, 8), memory.peek(BASE + 8, 8))))
    committed(memory, AccessKind.WRITE, BASE, 16, (1, 2))
    assert seen == [(1, 2)]


def test_one_who_stops_again_takes_nobody_off_who_has_come_to_the_word_since(memory: Memory) -> None:
    seen: list[str] = []
    stop = memory.watch(BASE, lambda: seen.append("first"))
    stop()
    memory.watch(BASE, lambda: seen.append("second"))
    stop()
    memory.write(BASE, 8, 1)
    assert seen == ["second"]


def test_who_watches_a_page_is_called_with_whichever_word_of_it_changes(memory: Memory) -> None:
    """Also with one that was never written before, or was zeroed since."""
    seen: list[tuple[int, int]] = []
    memory.write(BASE, 8, 1)
    stop = memory.watch_page(BASE, lambda place: seen.append((place - BASE, memory.peek(place, 8))))
    other = memory.watch_page(BASE, lambda place: None)
    memory.write(BASE, 8, 2)
    memory.write(BASE + 16, 8, 0)
    memory.write(BASE + 16, 4, 3)
    committed(memory, AccessKind.WRITE, BASE + 24, 16, (4, 0))
    memory.write(BASE + PAGE, 8, 5)
    memory.write_block(BASE, (0,) * (PAGE // 8))
    memory.write(BASE + 16, 8, 6)
    assert seen == [(0, 2), (16, 3), (24, 4), (0, 0), (16, 0), (24, 0), (16, 6)]
    seen.clear()
    stop()
    stop()
    memory.write(BASE, 8, 7)
    memory.write(BASE + 32, 8, 7)
    other()
    assert not seen
    assert not memory._watchers
    assert not memory._watching.pages


def test_when_one_of_two_watchers_of_a_page_stops_the_other_is_told_of_all_as_before(memory: Memory) -> None:
    """Also of a word that is first written then."""
    seen: list[int] = []
    memory.write(BASE, 8, 1)
    stop = memory.watch_page(BASE, lambda place: None)
    other = memory.watch_page(BASE, lambda place: seen.append(place - BASE))
    stop()
    for place in (BASE, BASE + 8):
        memory.write(place, 8, 2)
    assert seen == [0, 8]
    other()
    assert not memory._watching.pages
