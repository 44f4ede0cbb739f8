"""What a search reads back of a run: made in the process of the run, so that only what is needed has to be sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cosim.sim.actions import AFTER_CONFLICT, AFTER_HOLD, Taken
from cosim.sim.chooser import Chooser, Scheduled
from cosim.study.explore.conflicts import in_conflict
from cosim.study.explore.orders import order_of
from cosim.study.run.run import Point, UnderWay

ALLOCATION = ".alloc"
"""What the agent of a choice whether an allocation fails ends in."""


@dataclass(frozen=True, slots=True)
class Look:
    """What may be added to the schedule of a run, as ``name:answer``."""

    actions: int
    """How many effects asked whether they may take hold."""
    conflicts: int
    """How many of them conflicted with a later one of another owner, within a hold."""
    choices: int
    """How many questions were none of an effect, such as which state of memory a load returns."""
    added: tuple[str, ...] = ()
    """The answers to those in conflict, and to the choices, that are not 0 and have not been given."""
    asked: tuple[str, ...] = ()
    """Likewise of all effects, in conflict or not, if that was wanted."""
    order: int = 0
    """The run's partial order (`orders`), if that was wanted."""
    inactive: Mapping[str, str] = field(default_factory=dict)
    """The threads that had no part in the run, and why, in words, if it was the unperturbed one."""
    idle: tuple[str, ...] = ()
    """Steps that were taken out of the driver, as ``AXIS: STEP``, and that the run never came to."""


class Asking(Scheduled):
    """Follows a schedule, and notes each choice that was answered 0."""

    def __init__(self, seed: int, schedule: dict[str, int], *, allocations: bool) -> None:
        super().__init__(seed, schedule)
        self.choices: list[tuple[str, int]] = []
        self._allocations = allocations

    def hold(self, name: str) -> int:
        return super().pick(3, name)

    def pick(self, n: int, name: str) -> int:
        answer = super().pick(n, name)
        if not answer and n > 1 and (self._allocations or not name.rpartition("#")[0].endswith(ALLOCATION)):
            self.choices.append((name, n))
        return answer


@dataclass(frozen=True, slots=True)
class Looking:
    """What is to be read back of each run.

    Of a run whose schedule has `deviations` answers or more, nothing will be added: nothing is read back of it, unless
    it is the unperturbed one, of which the numbers are told. `everything` wants all effects;
    `orders` partial orders; `allocations` makes allocations choices, too.
    """

    deviations: int
    everything: bool = False
    orders: bool = False
    allocations: bool = False

    @property
    def key(self) -> str:
        """What tells apart what is read back of equal runs."""
        return f"{self.deviations}{'e' * self.everything}{'o' * self.orders}{'a' * self.allocations}"

    def chooser(self, point: Point) -> Chooser:
        """What answers in the run of a point."""
        answers = dict(choice.rsplit(":", 1) for choice in point.schedule)
        schedule = {name: int(answer) for name, answer in answers.items()}
        return Asking(point.topology.run.seed, schedule, allocations=self.allocations)

    def begin(self, run: UnderWay) -> Callable[[], Look | None]:
        """Called at the end of boot; what it returns, at the end of the run."""
        if not self._adds(run.point) and not self.orders:
            return lambda: Look(0, 0, 0, idle=idle) if (idle := run.system.idle_steps()) else None
        taken: list[Taken] = []
        sim = run.system.sim
        sim.actions.watchers.append(taken.append)
        return lambda: self._end(run, taken)

    def _adds(self, point: Point) -> bool:
        return not point.schedule or len(point.schedule) < self.deviations

    def _end(self, run: UnderWay, taken: list[Taken]) -> Look:
        chooser = run.system.sim.chooser
        assert isinstance(chooser, Asking)
        order = order_of(taken) if self.orders else 0
        asking = [each for each in taken if each.asks]
        if not self._adds(run.point):
            return Look(len(asking), 0, len(chooser.choices), order=order, idle=run.system.idle_steps())
        held = in_conflict(taken, run.point.topology.run.hold)
        choices = [f"{name}:{answer}" for name, n in chooser.choices for answer in range(1, n)]
        return Look(
            len(asking),
            len(held),
            len(chooser.choices),
            (*_answers(held), *choices),
            tuple(_answers(asking)) if self.everything else (),
            order,
            {} if run.point.schedule else run.inactive,
            run.system.idle_steps(),
        )


def _answers(taken: list[Taken]) -> list[str]:
    """The answers that hold these effects, each under the name by which it asked last."""
    names = [f"{each.name}.{each.holds}" if each.holds else each.name for each in taken]
    return [f"{name}:{answer}" for name in names for answer in (AFTER_CONFLICT, AFTER_HOLD)]
