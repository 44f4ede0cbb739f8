"""How large a page is, is told once: everybody else imports it."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TypeGuard

import cosim

ROOT = Path(cosim.__file__).parent
SIZES = {1 << 12, (1 << 12) - 1}
NOT_A_PAGE = {
    *("spec/register_map.py", "hw/cpu/interrupt_file.py", "sw/driver/queue_setup.py", "system/resources.py"),
    *("isa/decode.py", "isa/encodings.py", "object/relocate.py"),
}
"""Where 4096 is something else: the size of a register file, of an interrupt file, the length of a queue, a bound, and
where 12 is the place of a field of an instruction."""


NUMBER = re.compile(r"\b\d\w*")


def number(word: str) -> int | None:
    """What a word of a source that begins with a digit stands for; a source without the numbers need not be parsed."""
    try:
        return int(word, 0)
    except ValueError:
        return None


def told_in(source: str) -> list[int]:
    """The lines that tell a page's size by a number; the bounds of options (``le=4096``) are none."""
    if not any(number(word) in SIZES | {12} for word in set(NUMBER.findall(source))):
        return []
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    bounds = {id(keyword.value) for node in nodes if isinstance(node, ast.Call) for keyword in node.keywords}
    return sorted(node.lineno for node in nodes if id(node) not in bounds and _tells(node))


def _tells(node: ast.AST) -> TypeGuard[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.LShift | ast.RShift):
        return isinstance(node.right, ast.Constant) and node.right.value == 12
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value in SIZES


def test_a_pages_size_is_imported_and_not_told_again() -> None:
    """It is ``spec.pagetable.PAGE``, or ``PAGE_LG2``."""
    modules = {str(path.relative_to(ROOT)): path for path in ROOT.rglob("*.py")}
    assert modules.keys() >= NOT_A_PAGE
    others = {name: path for name, path in modules.items() if name not in NOT_A_PAGE}
    assert not {name: lines for name, path in others.items() if (lines := told_in(path.read_text()))}


def test_the_check_sees_each_way_to_tell_it() -> None:
    assert told_in("a = 4096\nb = x >> 12\nc = 0xFFF\nd = y << 12\n") == [1, 2, 3, 4]
    assert told_in("Field(le=4096), Field(le=1 << 12)\n") == []
