"""YAML as a topology has it: what a word means, where each value stands, and what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.config.source import Position, Source, TopologyError, dump

SIGNS = "0123456789.eE_+-x:#[]{},&*!|>'\"%@`~ \n\tnuloatrsyk<?="


def value(text):
    """What a topology's `a: text` holds."""
    return Source.parse(f"a: {text}\n").data["a"]


DATES = "12:30:00 1:30 2024-01-01 2001-12-14t21:59:43.10-05:00"
BOOLEANS = "on off yes no y N On tRue nUll"
NEARLY = "0x 0xg 1_ _1 1__0 . e3 1e .inf .nan nan inf 80ns << -x"


@pytest.mark.parametrize("word", [*DATES.split(), *BOOLEANS.split(), *NEARLY.split(), "80 ns"])
def test_a_word_that_is_no_number_is_text(word):
    assert value(word) == word


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("16", 16),
        ("+5", 5),
        ("-3", -3),
        ("0", 0),
        ("1_000", 1000),
        ("0x8000_0000", 0x8000_0000),
        ("-0x10", -16),
        ("0o17", 15),
        ("0b1010_0000", 160),
        ("1e3", 1000),
        ("1E+3", 1000),
        ("1.5", 1.5),
        ("1.5e3", 1500.0),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("5.", 5.0),
        ("0.1", 0.1),
    ],
)
def test_a_number_is_read_as_it_looks(word, number):
    assert value(word) == number
    assert type(value(word)) is type(number)


@pytest.mark.parametrize(
    ("word", "meaning"),
    [("~", None), ("null", None), ("", None), ("true", True), ("False", False), ("'on'", "on"), ('"1"', "1")],
)
def test_null_booleans_and_quotes_are_what_yaml_1_2_says(word, meaning):
    assert value(word) is meaning or value(word) == meaning != 1


def test_keys_are_text_whatever_they_look_like():
    assert Source.parse("1: a\non: b\n~: c\n0x10: d\n").data == {"1": "a", "on": "b", "~": "c", "0x10": "d"}


def test_anchors_aliases_and_merged_defaults_are_followed():
    source = Source.parse("a: &x {b: 1, c: 2}\nd: *x\ne: {<<: *x, c: 3}\nf: {<<: [*x, {g: 4}]}\n")
    assert source.data == {
        "a": {"b": 1, "c": 2},
        "d": {"b": 1, "c": 2},
        "e": {"c": 3, "b": 1},
        "f": {"b": 1, "c": 2, "g": 4},
    }
    assert source.where(("d", "c")) == Position("<text>", 1, 17)
    assert source.where(("d",)) == Position("<text>", 2, 1)


@pytest.mark.parametrize("given", ["<<: [*x, *y]", "<<: *x, <<: *y", "<<: [*x], <<: [*y]", "<<: [*x, *y], <<: *x"])
def test_of_several_defaults_the_first_one_that_has_an_entry_counts(given):
    source = Source.parse(f"a: &x {{b: 1, c: 2}}\nd: &y {{c: 3, e: 4, f: 5}}\ng: {{{given}, f: 6}}\n")
    assert source.data["g"] == {"b": 1, "c": 2, "e": 4, "f": 6}
    assert source.where(("g", "c")) == Position("<text>", 1, 17)


def test_every_value_knows_its_place():
    source = Source.parse("parts:\n  nic: {size: 64, on: [a,\n    b]}\n# é\nü: 1\n", "f.yaml")
    assert str(source.where(("parts", "nic", "size"))) == "f.yaml:2:15"
    assert str(source.where(("parts", "nic", "size"), key=True)) == "f.yaml:2:9"
    assert str(source.where(("parts", "nic", "on", 1))) == "f.yaml:3:5"
    assert str(source.where(("parts", "nic"))) == "f.yaml:2:3", "what holds others is where its key is"
    assert str(source.where(("parts", "nic", "absent", "deeper"))) == "f.yaml:2:3", (
        "what is absent is where it would be"
    )
    assert str(source.where(("parts", "nic", "on", 7))) == "f.yaml:2:19"
    assert str(source.where(("ü",))) == "f.yaml:5:4"
    assert str(source.where(("absent",))) == "f.yaml:1:1"


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path):
    file = tmp_path / "f.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\r\nb:\r\n  c: 2\r\n")
    source = Source.load(file, "f.yaml")
    assert source.data == {"a": 1, "b": {"c": 2}}
    assert str(source.where(("b", "c"))) == "f.yaml:3:6"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "f:1:1: the file is empty; a topology has at least `parts:`"),
        ("# only a comment\n", "f:1:1: the file is empty; a topology has at least `parts:`"),
        ("---\n", "f:1:1: the file is empty; a topology has at least `parts:`"),
        ("null", "f:1:1: a topology is a mapping of sections such as `parts:`, not null"),
        ("just text", "f:1:1: a topology is a mapping of sections such as `parts:`, not just text"),
        ("- a\n- b\n", "f:1:1: a topology is a mapping of sections such as `parts:`, not a list"),
        ("a: 1\n---\nb: 2\n", "f:2:1: a second document begins here; a topology is a single one"),
        ("a:\n\tb: 1", "f:2:1: a tab; YAML is indented and separated with spaces"),
        ("a: b: c", "f:1:5: a ': ' cannot stand here; quote the text, or put the key on its own line"),
        ("a: [1,\n 2", "f:2:3: a ',' or ']' is missing before this; its bracket opens in line 1"),
        ("a: {b: 1]", "f:1:9: a ',' or '}' is missing before this; its bracket opens in this line"),
        ("a: 'x\nb: 2\n", "f:1:4: the quote that opens here is never closed"),
        (
            'a: "\\q"',
            "f:1:6: 'q' cannot follow a backslash in double quotes; double it, or use single quotes",
        ),
        ("a: *x", "f:1:4: a: *x: there is no &x before; quote text with a *"),
        ("a: *", "f:1:5: an anchor or alias needs a name; quote text with * or &"),
        ("a: &x [*x]", "f:1:8: a.0: *x is used inside of &x: it would never end"),
        ("a: &x {b: {c: *x}}", "f:1:15: a.b.c: *x is used inside of &x: it would never end"),
        ("%YAML 3.0\n---\na: 1", "f:1:1: directives (lines with %) have no meaning here; leave it out"),
        ("a: @b", "f:1:4: a value cannot begin with '@'; quote it"),
        ("a: `b`", "f:1:4: a value cannot begin with '`'; quote it"),
        ("a: 1\n- b", "f:2:1: a list item cannot stand among the keys of a mapping; look at its indentation"),
        (
            "a:\n  b: 1\n c: 2",
            "f:3:2: does not line up with what is above it; look at the indentation from line 1 on",
        ),
        ("a: - b", "f:1:4: a list item cannot stand here; put it on a line of its own"),
        ("a: 1\nb\nc: 2", "f:2:1: a ':' is missing after this key"),
        ("a: 1\n...\nfoo", "f:3:1: nothing may follow the end of the document"),
        ("a: >9x", "f:1:6: only a line break can follow | or > here; quote text that begins with them"),
        ("a: !<x", "f:1:7: tags (words with !) have no meaning here; quote text that begins with !"),
        ("a: 1\nb: \x00", "f:2:4: not a text file: the character U+0000 is not text"),
        ("a: " + "[" * 100, "f:1:68: a.0.0.0: nested more than 64 levels deep"),
        ("{" * 500, "f:1:66: ?.?.?.?: nested more than 64 levels deep"),
        (
            "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
            + "".join(
                f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcd", "bcde", strict=True)
            )
            + "f: [*e, *e]\n",
            "f:6:5: f.0: the topology has more than 200_000 values, aliases included",
        ),
    ],
)
def test_a_text_that_is_no_topology_is_refused_at_the_right_place(text, error):
    with pytest.raises(TopologyError) as caught:
        Source.parse(text, "f")
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: 1\na: 2\n", "f:2:1: a: given twice; the first is in line 1"),
        ("a: {b: 1, c: 2, b: 3}\n", "f:1:17: a.b: given twice; the first is in line 1"),
        (
            "a: !!python/object:os.system x",
            "f:1:4: a: the tag !!python/object:os.system means nothing here; leave it out",
        ),
        ("a: !!str 5", "f:1:4: a: the tag !!str means nothing here; leave it out"),
        (
            "a: 010",
            "f:1:4: a: 010: a number does not begin with 0; write 10 (0o10 if it is octal), or quote it if it is text",
        ),
        ("a: 08", "f:1:4: a: 08: a number does not begin with 0; write 8, or quote it if it is text"),
        ("a: 1e999", "f:1:4: a: 1e999: this number is out of range; quote it if it is text"),
        ("a: " + "9" * 50, "f:1:4: a: a number of this length is out of range; quote it if it is text"),
        ("? [b]\n: 1\n", "f:1:3: a key is a single word here, not a list, a mapping or an alias"),
        ("a: {<<: 3}", "f:1:9: a.<<: takes in mappings only, not 3"),
        ('a: "\\ud800"', "f:1:4: a: half of a surrogate pair is not text"),
    ],
)
def test_an_error_that_hides_nothing_else_is_kept_for_later(text, error):
    assert [str(problem) for problem in Source.parse(text, "f").problems] == [error]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"\x7fELF\x02\x01\x01\x00\xff", "f:1:9: not UTF-8 text: the byte 0xff cannot stand here"),
        (b"a: 1\nb: caf\xe9\n", "f:2:7: not UTF-8 text: the byte 0xe9 cannot stand here"),
        ("a: 1\n".encode("utf-16"), "f:1:1: not UTF-8 text: the byte 0xff cannot stand here"),
        (b"\x7fELF\x02\x01\x01\x00", "f:1:1: not a text file: the character U+007F is not text"),
        (b"x" * ((4 << 20) + 1), "f: more than 4 MiB are no topology"),
    ],
)
def test_a_file_that_is_no_text_is_refused(tmp_path, content, error):
    file = tmp_path / "f.yaml"
    file.write_bytes(content)
    with pytest.raises(TopologyError) as caught:
        Source.load(file, "f")
    assert str(caught.value) == error


def test_a_file_that_cannot_be_read_is_named_with_the_one_that_may_have_been_meant(tmp_path):
    (tmp_path / "quickstart.yaml").write_text("a: 1\n")
    (tmp_path / "loop").symlink_to("loop")

    def error(path):
        with pytest.raises(TopologyError) as caught:
            Source.load(path, "f")
        return str(caught.value)

    assert error(tmp_path / "quikstart.yaml") == f"f: no such file; did you mean {tmp_path / 'quickstart.yaml'}?"
    assert error(tmp_path / "else") == "f: no such file"
    assert error(tmp_path / "no" / "where.yaml") == f"f: no such file: there is no folder {tmp_path / 'no'}"
    assert error(tmp_path) == "f: a folder, not a file; name one of the files in it"
    assert error(tmp_path / "quickstart.yaml" / "x") == "f: cannot be read: not a directory"
    assert error(tmp_path / "loop") == "f: cannot be read: too many levels of symbolic links"
    assert error("a\0b") == "f: not the name of a file"


def test_an_unreadable_file_says_so(tmp_path, monkeypatch):
    def denied(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", denied)
    with pytest.raises(TopologyError, match=r"^f: cannot be read: permission denied$"):
        Source.load(tmp_path / "f.yaml", "f")


def test_a_dump_is_readable_and_quotes_what_would_read_differently():
    data = {
        "parts": {"nic": {"size": "80 ns", "base": "0x10", "mode": "on", "flag": True, "none": None, "id": "1e3"}},
        "list": ["a", 1, "nic*", "*", "010", "12:30", ""],
        "nested": [{"on": "cpu0"}, []],
        "empty": {},
        "float": 1e16,
    }
    assert dump(data) == (
        "parts:\n"
        "  nic:\n"
        "    size: 80 ns\n"
        "    base: '0x10'\n"
        "    mode: on\n"
        "    flag: true\n"
        "    none: null\n"
        "    id: '1e3'\n"
        "list: [a, 1, nic*, '*', '010', '12:30', '']\n"
        "nested:\n"
        "- on: cpu0\n"
        "- []\n"
        "empty: {}\n"
        "float: 1.0e+16\n"
    )


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**100), 2**100),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(SIGNS, max_size=8),
    st.text(max_size=5),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(SIGNS, max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(st.dictionaries(st.text(SIGNS, max_size=8), TREES, min_size=1, max_size=4))
def test_a_dump_reads_back_to_equal_data(data):
    source = Source.parse(dump(data))
    assert source.problems == ()
    assert repr(source.data) == repr(data)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.text(SIGNS, max_size=30))
def test_any_text_is_data_or_a_clean_error(text):
    try:
        assert isinstance(Source.parse(text).data, dict)
    except TopologyError as error:
        assert all(problem.position.line for problem in error.problems)  # noqa: PT017


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"a": {1: 2}}, "a: the key 1 is not text"),
        ({"a": [object]}, "a.0: <class 'object'> cannot be written; there are texts, numbers, lists and mappings"),
        ({"a": float("nan")}, "a: nan cannot be written; there are texts, numbers, lists and mappings"),
    ],
)
def test_what_yaml_cannot_hold_is_not_dumped(data, error):
    with pytest.raises(TypeError) as caught:
        dump(data)
    assert str(caught.value) == error
