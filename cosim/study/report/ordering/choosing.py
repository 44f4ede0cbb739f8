"""Which steps of a run belong to what was violated: those of its pages, of its time, and of what was held."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from cosim.oracles import Violation
from cosim.sim.actions import Taken
from cosim.sim.footprints import conflict
from cosim.spec.pagetable import PAGE_LG2
from cosim.study.report.ordering.memory import PURPOSES, Subject, covers
from cosim.study.report.ordering.steps import FENCE, PAGE_HERE, SEND, Part, Source, Step, Weight

MOST_LINES = 44
"""Of so many lines a picture is made at most; those that tell least are left out."""
FEWEST_LINES = 12
"""What came before is drawn as well, up to so many lines."""
MOST_SUBJECTS = 3
OF_THE_QUEUE = ("command-ring", "unrecovered-errors")
"""Oracles that look at command queues."""
OF_ANY_CALL = (FENCE, "rcu_read", "read the ", f"{SEND}IOFENCE")
_IOVA = re.compile(r"IOVA 0x([0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The steps, in order, the pages that they are about, and how many had no room."""

    steps: tuple[Step, ...]
    subjects: tuple[Subject, ...]
    left_out: int


def chosen(steps: Sequence[Step], violation: Violation, held: Sequence[Taken], times: Collection[int]) -> Chosen:
    """What is drawn of `steps`: up to the last of `times`, at which there were violations; `held` are the effects that
    the schedule has held."""
    until = max(times)
    subjects = _subjects(steps, violation, held)
    own = {id(taken) for taken in held}
    against = _against(steps, held)
    entries = {
        step.taken.footprint[0]: step.subject for step in steps if step.taken and step.subject and "PTE" in step.text
    }
    if violation.oracle in OF_THE_QUEUE:
        for step in steps:
            if step.queue is not None:
                step.text, step.weight = f"{step.text}{step.queue}", Weight.EFFECT
    for step in steps:
        if step.taken is not None and (id(step.taken) in own or id(step.taken) in against):
            if step.weight is Weight.DETAIL:
                step.once = not step.taken.holds
                if (entry := entries.get(step.taken.footprint[0])) is not None:
                    step.text = step.text.replace(PURPOSES["table"], f"PTE {PAGE_HERE}")
                    step.subject = entry
            step.weight = Weight.CAUSE
    kept = [
        step
        for step in steps
        if _asked(step) <= until and step.weight is not Weight.DETAIL and _is_about(step, subjects, own)
    ]
    begin = _begin(kept, violation, held)
    kept = _fences_that_order(kept)
    kept = kept[min(bisect_left(kept, begin, key=lambda step: step.time), max(0, len(kept) - FEWEST_LINES)) :]
    kept = _of_those_involved(_said_once(kept, times))
    room = _with_room(kept, violation)
    return Chosen(tuple(room), subjects, len(kept) - len(room))


def _subjects(steps: Sequence[Step], violation: Violation, held: Sequence[Taken]) -> tuple[Subject, ...]:
    """The pages that something happened to when the violation was, or began; else those of what was held, or of unmaps
    that were under way."""
    times = (violation.time_ps, violation.since_ps)
    of_held = {id(taken) for taken in held}
    for found in (
        [step.subject for step in steps if step.subject and step.time in times],
        [_first(step) for step in steps if step.covers and step.covers[0] and step.time in times],
        [step.subject for step in steps if step.subject and step.taken is not None and id(step.taken) in of_held],
        [_first(step) for step in steps if step.covers and step.part is Part.OPENS and step.time <= violation.time_ps],
    ):
        subjects = tuple(dict.fromkeys(subject for subject in found if subject))
        told = {int(iova, 16) >> PAGE_LG2 for iova in _IOVA.findall(violation.message)}
        subjects = tuple(subject for subject in subjects if subject.page in told) or subjects
        if subjects:
            return subjects[-MOST_SUBJECTS:]
    return ()


def _first(step: Step) -> Subject | None:
    domain, iova, _ = step.covers or (None, 0, 0)
    return Subject(domain, iova >> PAGE_LG2) if domain else None


def _against(steps: Sequence[Step], held: Sequence[Taken]) -> set[int]:
    """The effects that one which was held has waited beside, and that conflict with it; and the first one behind it."""
    found: set[int] = set()
    for one in held:
        for step in steps:
            other = step.taken
            if other is None or other is one or other.time < one.asked:
                continue
            if conflict(one, other):
                found.add(id(other))
                if other.time > one.time:
                    break
    return found


def _is_about(step: Step, subjects: Sequence[Subject], always: Collection[int]) -> bool:
    if step.taken is not None and id(step.taken) in always:
        return True
    if not subjects:
        return PAGE_HERE not in step.text or step.weight is Weight.CAUSE or step.queue is not None
    if step.subject is not None:
        return step.subject in subjects
    if step.covers is not None:
        domain, iova, size = step.covers
        return covers(iova, size, subjects, domain)
    return PAGE_HERE not in step.text


def _begin(steps: Sequence[Step], violation: Violation, held: Iterable[Taken]) -> int:
    """The first moment that belongs to it: calls that are under way when the first hold begins, begin before, and so
    does the last unmap of the page."""
    begin = min([violation.since_ps, violation.time_ps, *(taken.asked for taken in held)])
    opened: dict[str, int] = {}
    unmapped = begin
    for step in steps:
        if step.time > begin:
            break
        if step.part is Part.OPENS and step.covers is not None:
            unmapped = step.time
        if step.part is Part.OPENS or (violation.oracle in OF_THE_QUEUE and step.text.startswith(SEND)):
            opened[step.who] = step.time
        elif step.part is Part.CLOSES:
            opened.pop(step.who, None)
    return min([begin, unmapped, *opened.values()])


def _fences_that_order(steps: Sequence[Step]) -> list[Step]:
    """Without the fences of a thread that do not stand between two effects of its own; those of doorbells are none."""
    going = {id(step) for step in steps if step.text == FENCE}
    effects: dict[str, Step] = {}
    last: dict[str, Step] = {}
    pending: dict[str, Step] = {}
    for step in steps:
        before = last.get(step.who)
        if step.text == FENCE:
            if before is not None and not before.text.startswith(SEND):
                pending.setdefault(step.who, step)
            continue
        last[step.who] = step
        if step.weight < Weight.EFFECT:
            continue
        fence, effect = pending.pop(step.who, None), effects.get(step.who)
        if fence is not None and effect is not None and (effect.head != step.head or not step.head):
            going.discard(id(fence))
        effects[step.who] = step
    return [step for step in steps if id(step) not in going]


def _asked(step: Step) -> int:
    """When a step begins: what was held may take hold only behind all that is drawn."""
    return step.taken.asked if step.taken is not None and step.taken.holds else step.time


def _of_those_involved(steps: Sequence[Step]) -> list[Step]:
    """Without threads of which there is only what every unmap and every attach does."""
    involved = {step.who for step in steps if not step.text.startswith(OF_ANY_CALL) or step.weight is Weight.CAUSE}
    return [step for step in steps if step.who in involved]


def _said_once(steps: Sequence[Step], times: Collection[int]) -> list[Step]:
    """Without what was said before, of steps that are to be said once; but for what was violated."""
    said: set[tuple[str, str, Source | None]] = set()
    kept = []
    for step in steps:
        if not step.once or step.time in times or (step.who, step.line, step.source) not in said:
            kept.append(step)
        said.add((step.who, step.line, step.source))
    return kept


def _with_room(steps: list[Step], violation: Violation) -> list[Step]:
    """As many as there is room for: of those that tell least, the ones that are farthest from the violation go."""
    kept = steps
    for weight in (Weight.ORDER, Weight.EFFECT, Weight.CAUSE):
        over = len(kept) - MOST_LINES
        if over <= 0:
            break
        going = {id(step) for step in [step for step in kept if step.weight <= weight][:over]}
        kept = [step for step in kept if id(step) not in going]
    return kept
