"""What a schedule may have meant by a choice that the run never came to."""

from __future__ import annotations

from collections.abc import Mapping

from cosim.units.nearest import closest


def nearest_choice(choice: str, counts: Mapping[str, int]) -> str:
    """In words, how often the choice's agent asked, or which agent has the nearest name.

    `choice` is ``agent#number:answer``, and `counts` says of each agent how many effects and choices it has had.
    """
    agent, _, number = choice.rpartition(":")[0].rpartition("#")
    if agent in counts:
        last = counts[agent] - 1
        how = f"{agent} ended with #{last}" if last else f"{agent} has only #0"
        held = number.partition(".")[2]
        return f"{agent}#{number.partition('.')[0]} never asked as .{held}" if held and _within(number, last) else how
    near = closest(agent, counts, 0.9)
    if near is None:
        owner = agent.rpartition(".")[0]
        there = [name for name in counts if name.startswith(f"{owner}.")]
        return f"of {owner} there are {', '.join(there)}" if there else f"nobody is called {agent}"
    return f"did you mean {near}#0 to #{counts[near] - 1}?" if counts[near] > 1 else f"did you mean {near}#0?"


def _within(number: str, last: int) -> bool:
    first = number.partition(".")[0]
    return first.isdigit() and int(first) <= last
