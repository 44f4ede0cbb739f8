"""A name that a result does not have is an error with the nearest one, not a default."""

from __future__ import annotations

import json
import pickle

import pytest

from cosim.study.run.named import Named

SCALARS = Named({"nic0.read_bytes": 64, "nic0.reads": 1})


def test_a_misspelled_name_is_told_the_right_one() -> None:
    with pytest.raises(KeyError, match=r"nic0\.bytes_raed: no such name in the result; did you mean nic0\.read_by"):
        SCALARS["nic0.bytes_raed"]
    with pytest.raises(KeyError, match=r"zzz: no such name in the result; there are 2, such as nic0\.read_bytes"):
        SCALARS["zzz"]
    with pytest.raises(KeyError, match="there are none"):
        Named()["nic0.reads"]


def test_it_is_a_dict_for_all_else() -> None:
    assert SCALARS["nic0.reads"] == 1
    assert json.loads(json.dumps(SCALARS)) == {"nic0.read_bytes": 64, "nic0.reads": 1}
    again = pickle.loads(pickle.dumps(SCALARS))
    assert again == SCALARS
    assert type(again) is Named
