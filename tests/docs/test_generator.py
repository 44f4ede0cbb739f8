"""The generator of the documents: what a page quotes is what the commands print, and nothing else is touched."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def script(name: str) -> ModuleType:
    """A script of docs/, as a module."""
    spec = spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


generate = script("generate")
reference = script("reference")


def page(*lines: str) -> str:
    return "\n".join(lines) + "\n"


def test_a_command_s_output_replaces_what_stood_below_it() -> None:
    old = page("before", "```console", "$ echo one", "stale", "$ echo two", "```", "after")
    new = page("before", "```console", "$ echo one", "one", "$ echo two", "two", "```", "after")
    assert generate.generated(old) == new


def test_renewing_twice_changes_nothing_more() -> None:
    once = generate.generated(page("```console", "$ printf 'a\\nb\\n'", "```"))
    assert generate.generated(once) == once


def test_a_command_may_go_on_in_the_next_line() -> None:
    text = page("```console", "$ echo one \\", "    two", "```")
    assert generate.generated(text) == page("```console", "$ echo one \\", "    two", "one two", "```")


def test_a_command_of_several_lines_has_the_shell_s_second_prompt() -> None:
    text = page("```console", "$ for n in 1 2", "> do echo $n; done", "```")
    assert generate.generated(text) == page("```console", "$ for n in 1 2", "> do echo $n; done", "1", "2", "```")


def test_other_blocks_stay_as_they_are() -> None:
    text = page("```sh", "$ echo one", "```", "```python", "1 / 0", "```", "```", "$ echo two", "```")
    assert generate.generated(text) == text


def test_a_file_of_the_repository_can_stand_in_a_page(tmp_path: Path) -> None:
    (tmp_path / "answer.py").write_text("answer = 42\n\n", encoding="utf-8")
    text = page("```python file=answer.py", "answer = 41", "```")
    assert generate.generated(text, tmp_path) == page("```python file=answer.py", "answer = 42", "```")


def test_a_block_can_make_a_file_for_the_commands_below_it() -> None:
    text = page("```yaml write=it.yaml", "a: 1", "```", "```console", "$ cat it.yaml", "```")
    assert generate.generated(text).endswith(page("$ cat it.yaml", "a: 1", "```"))


def test_a_command_that_fails_is_an_error_and_not_a_page() -> None:
    with pytest.raises(generate.StaleError, match=r"`exit 3` ended with 3, not with 0"):
        generate.generated(page("```console", "$ exit 3", "```"))


def test_a_failure_can_be_announced() -> None:
    text = page("```console exit=1", "$ echo bad; exit 1", "bad", "```")
    assert generate.generated(text) == text
    with pytest.raises(generate.StaleError, match="ended with 0, not with 1"):
        generate.generated(page("```console exit=1", "$ true", "```"))


def test_commands_see_80_columns_and_no_colour_and_leave_nothing_behind() -> None:
    text = page("```console", "$ echo $COLUMNS $NO_COLOR; touch here; ls", "```")
    assert generate.generated(text, Path("/nowhere")) == page(
        "```console", "$ echo $COLUMNS $NO_COLOR; touch here; ls", "80 1", "here", "```"
    )


def test_checking_says_what_is_out_of_date_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = tmp_path / "page.md"
    stale.write_text(page("```console", "$ echo new", "old", "```"), encoding="utf-8")
    before = stale.read_text(encoding="utf-8")
    assert generate.main(["--check", str(stale)]) == 1
    assert stale.read_text(encoding="utf-8") == before
    assert "-old\n+new\n" in capsys.readouterr().out
    assert generate.main([str(stale)]) == 0
    assert generate.main(["--check", str(stale)]) == 0


# --- The pages themselves --------------------------------------------------------------------------------------------


def test_the_topology_reference_is_what_the_models_say() -> None:
    text = (ROOT / "docs" / "topology-reference.md").read_text(encoding="utf-8")
    assert text == reference.reference(), "`make docs` renews it"


@pytest.mark.slow
@pytest.mark.parametrize("path", generate.everything(), ids=lambda path: path.name)
def test_a_page_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generate.renewed(path), "`make docs` renews it"
