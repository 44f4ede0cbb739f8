"""What is kept of the last outcome of each target: docs/validation.json, of which the page is made."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from validation.target import Outcome

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "docs" / "validation.json"


@dataclass(frozen=True)
class Kept:
    """An outcome, the model that it is of, how many runs it took, and how many seconds of processors."""

    outcome: Outcome
    model: str
    runs: int
    cpu_s: float

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"model": self.model, "runs": self.runs, "cpu_s": round(self.cpu_s), "outcome": self.outcome.as_json()}


def read() -> dict[str, Kept]:
    """What is kept, by the names of targets."""
    if not KEPT.exists():
        return {}
    data = json.loads(KEPT.read_text(encoding="utf-8"))
    return {
        name: Kept(Outcome.of(each["outcome"]), each["model"], each["runs"], each["cpu_s"])
        for name, each in data.items()
    }


def write(kept: dict[str, Kept]) -> None:
    """Keep it."""
    data = {name: each.as_json() for name, each in sorted(kept.items())}
    text = json.dumps(data, indent=1)
    KEPT.write_text(text + "\n", encoding="utf-8")
