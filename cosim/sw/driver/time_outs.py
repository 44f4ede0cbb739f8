"""How long a row's calls may wait for hardware that does not answer."""

from __future__ import annotations

from dataclasses import fields

from cosim.sw.driver.axes import Variant
from cosim.sw.driver.device_directory import DDTP_BUSY_PS, FENCE_PS
from cosim.sw.driver.queue_setup import CSR_BUSY_PS


def longest_time_out(row: Variant) -> int:
    """The longest that a call waits for one thing, in picoseconds."""
    return max(_time_outs(row))


def shortest_time_out(row: Variant) -> int:
    """The shortest that a call waits for one thing before it gives up, in picoseconds."""
    return min(_time_outs(row))


def _time_outs(row: Variant) -> list[int]:
    """Of a policy, that is each attribute that ends in ``_ps``."""
    policies = [getattr(row, axis.name) for axis in fields(row)]
    own = [getattr(policy, name) for policy in policies for name in dir(policy) if name.endswith("_ps")]
    return [FENCE_PS, DDTP_BUSY_PS, CSR_BUSY_PS, *(ps for ps in own if isinstance(ps, int))]
