"""What a script says of a study lies on top of what its file says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cosim
from cosim.study.sweep.samples import Sample
from cosim.study.sweep.sweep import Sweep
from tests.study.pool.systems import TINY

STUDY = """
topology: tiny.yaml
axes: {dram0.latency: [40 ns, 60 ns, 80 ns]}
where: latency > 40 ns
seed: 3
reps: 2
overlays: [under.yaml]
metrics: [dev0.reads]
independent: true
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    for name in ("under.yaml", "over.yaml"):
        (tmp_path / name).write_text("run: {until: 1 us}\n", encoding="utf-8")
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    return tmp_path / "study.yaml"


def planned(study: Path, **said: Any) -> Sweep:
    return cosim.sweep(study, **said)._sweep


def latencies(sweep: Sweep) -> list[str]:
    return [point["dram0.latency"] for point in sweep.points]


def test_a_study_is_as_its_file_says_where_nothing_is_said(study: Path) -> None:
    sweep = planned(study)
    assert latencies(sweep) == ["60 ns", "80 ns"]
    assert (sweep.subject.seed, sweep.subject.overlays) == (3, (str(study.parent / "under.yaml"),))
    assert (sweep.request.reps, sweep.request.metrics, sweep.request.independent) == (2, ("dev0.reads",), True)


def test_what_is_said_goes_before_what_the_file_says_and_overlays_lie_on_top(study: Path) -> None:
    over = study.parent / "over.yaml"
    sweep = planned(study, where="latency < 80 ns", seed=0, reps=1, overlays=[over], metrics="dev0.read.mean_ps")
    assert latencies(sweep) == ["40 ns", "60 ns"]
    assert (sweep.subject.seed, sweep.subject.overlays) == (0, (str(study.parent / "under.yaml"), str(over)))
    assert (sweep.request.reps, sweep.request.metrics) == (1, ("dev0.read.mean_ps",))


def test_a_sample_of_a_study_is_drawn_if_no_other_is_asked_for(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study.write_text(f"{STUDY}sample: lhs:3\n", encoding="utf-8")
    drawn: list[Sample] = []
    monkeypatch.setattr("cosim.study.sweep.plan.drawn", lambda axes, sample: drawn.append(sample) or axes.grid())
    planned(study)
    planned(study, sample="sobol:4")
    assert drawn == [Sample("lhs", 3), Sample("sobol", 4)]
