"""Past states of memory words: what a load under a weak memory model may still return (RISC-V Unprivileged, RVWMO)."""

from __future__ import annotations

from collections import deque
from typing import Any

WHOLE = 0xFFFF_FFFF_FFFF_FFFF
"""The mask of all bits of a word."""

ANCIENT = -1
"""When a state began that is older than anything that is kept."""


Snapshot = tuple[Any, ...]
"""For each word, by address: the word and its states."""


class History:
    """The states that each word had within the last `keep_ps`, the present one included.

    A state lasts from its beginning until the next one begins. One that lasted for no time at all was never there.
    States that ended `keep_ps` ago or earlier are dropped, so that the cost follows the writes of that span.
    """

    __slots__ = ("_recent", "keep_ps", "words")

    def __init__(self, keep_ps: int) -> None:
        self.keep_ps = keep_ps
        self.words: dict[int, list[tuple[int, int, int]]] = {}
        """The words of which a past is known, with their states: when each began, the word, the bits written then."""
        self._recent: deque[tuple[int, int]] = deque()

    def changed(self, word: int, now: int, old: int, value: int, mask: int) -> None:
        """The bits `mask` of `word` were written at `now`, which turned `old` into `value`."""
        states = self.words.get(word)
        if states is None:
            self.words[word] = [(ANCIENT, old, WHOLE), (now, value, mask)]
        elif states[-1][0] == now:
            states[-1] = (now, value, states[-1][2] | mask)
        else:
            states.append((now, value, mask))
        recent = self._recent
        recent.append((now, word))
        horizon = now - self.keep_ps
        while recent[0][0] <= horizon:
            self._expire(recent.popleft()[1], horizon)

    def _expire(self, word: int, horizon: int) -> None:
        states = self.words.get(word)
        if states is None:
            return
        gone = 0
        while gone + 1 < len(states) and states[gone + 1][0] <= horizon:
            gone += 1
        if gone + 1 == len(states):
            del self.words[word]
        else:
            del states[:gone]

    def forget(self, word: int) -> None:
        """Drop the past of `word`: it has always been what it is."""
        self.words.pop(word, None)

    def states(self, word: int, mask: int, now: int, after: int) -> list[tuple[int, int]]:
        """The states of the bits `mask` of one of `words` that had not ended at `after`, as (beginning, word).

        The newest comes first.
        """
        states = self.words[word]
        oldest = max(after, now - self.keep_ps)
        found: list[tuple[int, int]] = []
        value: int | None = None
        for began, state, written in reversed(states):
            if value is None:
                value = state
            if written & mask:
                found.append((began, value))
                value = None
                if began <= oldest:
                    break
        else:
            if value is not None:
                found.append((ANCIENT, value))
        return found

    def snapshot(self) -> Snapshot:
        """All states of all words, as a value to be given to `restore`."""
        return tuple((word, *self.words[word]) for word in sorted(self.words))

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to what `snapshot` returned."""
        self.words = {word: list(states) for word, *states in snapshot}
        self._recent = deque(sorted((state[0], word) for word, states in self.words.items() for state in states))
