"""The one door through which chance and schedules enter: `Chooser.pick(n, name)`, 0 being the unperturbed run."""

from __future__ import annotations

from collections.abc import Mapping

from cosim.sim.stream import Stream


class Chooser:
    """The source of all chance of a run. This one is the unperturbed run: every choice is 0."""

    exploring = False

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.streams: list[Stream] = []
        """The random numbers of all components so far."""

    def pick(self, n: int, name: str) -> int:
        """Answer, with a number below `n`, the choice called `name`."""
        return 0

    def hold(self, name: str) -> int:
        """Answer whether the action called `name` takes hold now (0), or is held (`actions`)."""
        return self.pick(3, name)

    def unheld(self, name: str) -> None:
        """The effect called `name` takes hold and asks nobody."""

    def stream(self, path: str) -> Stream:
        """The random numbers of the component at `path`."""
        stream = Stream(self.seed, path)
        self.streams.append(stream)
        return stream

    @property
    def untouched(self) -> bool:
        """Whether no component has drawn anything so far: then the run would be the same with another seed."""
        return all(stream.untouched for stream in self.streams)

    def replaced_by(self, other: Chooser) -> None:
        """Hand the components over to another one, which nobody has asked yet: they draw from its seed on."""
        other.streams = self.streams
        if other.seed != self.seed:
            for stream in self.streams:
                stream.begin(other.seed)


class ScheduleError(ValueError):
    """A schedule gives a choice an answer that it does not have."""


class Scheduled(Chooser):
    """A run perturbed by a schedule: a set of ``name: answer``; every other choice is 0."""

    exploring = True

    def __init__(self, seed: int, schedule: Mapping[str, int]) -> None:
        super().__init__(seed)
        self.schedule = dict(schedule)
        self.used: set[str] = set()

    @property
    def unasked(self) -> list[str]:
        """The answers that nobody has asked for, as ``name:answer``; those that are 0 make no difference."""
        return [f"{name}:{answer}" for name, answer in self.schedule.items() if answer and name not in self.used]

    def pick(self, n: int, name: str) -> int:
        answer = self.schedule.get(name, 0)
        if answer:
            self.used.add(name)
            if not 0 <= answer < n:
                raise ScheduleError(f"schedule: {name}:{answer}: this choice has the answers 0 to {n - 1}")
        return answer

    def unheld(self, name: str) -> None:
        answer = self.schedule.get(name, 0)
        if answer:
            raise ScheduleError(
                f"schedule: {name}:{answer}: no schedule holds this effect; hold what conflicts with it"
            )
