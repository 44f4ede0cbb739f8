"""A chooser that notes what a run asks."""

from cosim.sim.chooser import Chooser


class Recorder(Chooser):
    """Answers as the unperturbed run does, and notes every question with how many answers it has."""

    exploring = True

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.asked: dict[str, int] = {}

    def pick(self, n: int, name: str) -> int:
        self.asked[name] = n
        return 0
