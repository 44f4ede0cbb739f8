"""What a hardware routine may yield."""

from __future__ import annotations


class Demand:
    """What a hardware routine yields: it is resumed when that has happened. There are four kinds.

    `Access`, `Server`, `Service` and `Gate`; an executor refuses all else.
    """

    __slots__ = ()
