"""What kernels were seen to send, in the words of `Machine.trace`."""

from __future__ import annotations

import pytest

from cosim.spec.queues import Iotinval

PAGE = 4096

FLUSHING = ("current", "latest")
"""The variants that flush a PSCID with each context, and look at `cqcsr` while they wait."""

VARIANTS = pytest.mark.parametrize("variant", ["merged", "current", "latest"])


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


def fence(variant: str) -> list[str]:
    return ["IOFENCE.C(pr=0x1,pw=0x1)", "poll cqcsr" if variant in FLUSHING else "poll"]


def vma(pscid: int | None = None) -> str:
    return "IOTINVAL.VMA()" if pscid is None else f"IOTINVAL.VMA(pscid={pscid:#x},pscv=0x1)"


def page(iova: int, pscid: int = 1) -> str:
    words = Iotinval.vma(pscid=pscid, addr=iova)
    return f"IOTINVAL.VMA(av=0x1,pscid={pscid:#x},pscv=0x1,addr={words.addr:#x})"


def context(device_id: int = 1) -> str:
    return f"IODIR.INVAL_DDT(dv=0x1,did={device_id:#x})"
