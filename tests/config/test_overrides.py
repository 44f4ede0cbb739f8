"""Overlays, counts and overrides: what they change, what they leave, and where their errors are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.config.source import Override, Source, TopologyError, dump, validate
from cosim.system.load import load as loaded
from tests.system.little_topology import LEGAL, NICS, TEXT, Topology, check, edited, load, problems, resolved


def sizes(topology):
    return {name: part.traffic.size for name, part in topology.parts.items() if part.kind == "dma"}


# --- Counts ----------------------------------------------------------------------------------------------------------


def test_a_count_writes_a_part_out_in_its_place():
    source = Source.parse("parts: {a: {x: 1}, nic: {count: 3, x: 2}, b: {x: 3}}\n").resolved()
    assert source.data == {
        "parts": {"a": {"x": 1}, "nic0": {"x": 2}, "nic1": {"x": 2}, "nic2": {"x": 2}, "b": {"x": 3}}
    }
    assert source.groups == {"nic": ("nic0", "nic1", "nic2")}
    assert str(source.where(("parts", "nic2", "x"))) == "<text>:1:39"
    assert list(source.data["parts"]) == ["a", "nic0", "nic1", "nic2", "b"]


def test_a_count_of_one_numbers_the_part_and_no_count_leaves_its_name():
    assert list(Source.parse("parts: {nic: {count: 1}}").resolved().data["parts"]) == ["nic0"]
    assert list(Source.parse("parts: {nic: {}}").resolved().data["parts"]) == ["nic"]


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("count: 10", "count: 0", "7:12: parts.nic.count: a count is a whole number from 1 to 65536, not 0"),
        ("count: 10", "count: -1", "7:12: parts.nic.count: a count is a whole number from 1 to 65536, not -1"),
        ("count: 10", "count: ten", "7:12: parts.nic.count: a count is a whole number from 1 to 65536, not ten"),
        ("count: 10", "count: yes", "7:12: parts.nic.count: a count is a whole number from 1 to 65536, not yes"),
        ("count: 10", "count: true", "7:12: parts.nic.count: a count is a whole number from 1 to 65536, not true"),
        ("count: 10", "count: 1e6", "7:12: parts.nic.count: a count is a whole number from 1 to 65536, not 1000000"),
        (
            "  nic:",
            "  nic3: {kind: dma, direct: true}\n  nic:",
            "8:12: parts.nic.count: this makes a part nic3, and there is another of that name at ten.yaml:5:3",
        ),
        (
            "domains:",
            "  nic1: {kind: dma, direct: true, count: 2}\ndomains:",
            None,
        ),
    ],
)
def test_a_count_that_cannot_be_is_refused(old, new, error):
    expected = [f"ten.yaml:{error}"] if error else []
    assert problems(text=edited((old, new))) == expected


def test_two_counts_that_make_the_same_name_collide():
    text = edited(("count: 10", "count: 11"), ("domains:", "  nic1: {kind: dma, direct: true, count: 2}\ndomains:"))
    assert problems(text=text) == [
        "ten.yaml:10:42: parts.nic1.count: this makes a part nic10, and there is another of that name at ten.yaml:5:3"
    ]


# --- Overlays --------------------------------------------------------------------------------------------------------


def test_an_overlay_changes_what_it_names_and_nothing_else():
    overlay = "parts: {iommu0: {geometry: {walkers: 8}}}\nrun: {until: 2 ms}\nthreads: []\n"
    topology = load(overlays=[overlay])
    assert (topology.parts["iommu0"].geometry.walkers, topology.parts["iommu0"].geometry.iotlb_entries) == (8, 32)
    assert (topology.run.until, topology.run.seed) == (2 * 10**9, 1)
    assert topology.threads == ()
    assert topology.parts["nic3"] == load().parts["nic3"]


def test_the_later_overlay_wins_and_an_override_wins_over_both():
    overlays = ["run: {seed: 2, until: 2 ms}", "run: {seed: 3}"]
    assert (load(overlays=overlays).run.seed, load(overlays=overlays).run.until) == (3, 2 * 10**9)
    assert load("run.seed=4", overlays=overlays).run.seed == 4


def test_values_keep_the_place_they_came_from():
    source = resolved("nic4.traffic.size=64 B", overlays=["parts:\n  nic: {traffic: {size: 128 B}}\n"])
    assert str(source.where(("parts", "nic3", "traffic", "size"))) == "overlay1.yaml:2:25"
    assert str(source.where(("parts", "nic3", "traffic", "pattern"))) == "ten.yaml:9:24"
    assert str(source.where(("parts", "nic4", "traffic", "size"))) == "-s nic4.traffic.size=64 B"
    assert str(source.where(("parts", "nic3"))) == "ten.yaml:5:3"


def test_an_overlay_may_speak_of_all_members_of_one_and_of_their_number():
    topology = load(overlays=["parts: {nic3: {traffic: {size: 64 B}}, nic: {count: 5, traffic: {size: 128 B}}}"])
    assert sizes(topology) == {"nic0": 128, "nic1": 128, "nic2": 128, "nic3": 64, "nic4": 128}
    topology = load(overlays=["parts: {nic3: {traffic: {size: 64 B}}}", "parts: {nic3: {traffic: {pattern: random}}}"])
    assert (topology.parts["nic3"].traffic.size, topology.parts["nic3"].traffic.pattern) == (64, "random")
    assert topology.parts["nic2"].traffic.pattern == "ring"


def test_an_overlay_may_add_a_part():
    assert "nic10" in load(overlays=["parts: {nic10: {kind: dma, direct: true}}"]).parts


def test_errors_of_overlays_come_with_those_of_the_file_and_after_them():
    overlays = ["run: {sed: 1}\nparts: {nic3: {traffic: {sise: 1}}}\n", "a: 1\na: 1\n"]
    assert problems("run.seed=x", text=edited(("latency: 80 ns", "latency: 80")), overlays=overlays) == [
        "ten.yaml:3:69: parts.dram0.latency: 80 has no unit; a time is in ps, ns, us, ms or s, such as 80 ns",
        "overlay1.yaml:1:7: run.sed: unknown field; did you mean seed?",
        "overlay1.yaml:2:26: parts.nic3.traffic.sise: unknown field; did you mean size?",
        "overlay2.yaml:2:1: a: given twice; the first is in line 1",
        "-s run.seed=x: run.seed: expected a whole number, found x",
    ]


# --- Overrides -------------------------------------------------------------------------------------------------------


def test_an_override_reaches_one_member_all_or_those_that_a_glob_names():
    assert sizes(load("nic3.traffic.size=64 B")) == {**dict.fromkeys(NICS, 1500), "nic3": 64}
    assert sizes(load("nic.traffic.size=64 B")) == dict.fromkeys(NICS, 64)
    assert sizes(load("nic*.traffic.size=64 B")) == dict.fromkeys(NICS, 64)
    assert sizes(load("nic[1-3].traffic.size=64 B")) == dict.fromkeys(NICS, 1500) | dict.fromkeys(NICS[1:4], 64)
    assert sizes(load("nic?.tra*.si*=64 B", "parts.nic7.traffic.size=128 B")) == dict.fromkeys(NICS, 64) | {"nic7": 128}


def test_a_glob_takes_the_parts_that_have_the_field_and_passes_the_others():
    topology = load("*.base=0x1000")
    assert topology.parts["dram0"].base == topology.parts["iommu0"].base == 0x1000


def test_the_later_override_wins():
    assert load("run.seed=2", "run.seed=3").run.seed == 3
    assert sizes(load("nic3.traffic.size=64 B", "nic.traffic.size=128 B"))["nic3"] == 128


def test_what_is_set_from_python_wins_over_texts_and_an_option_of_its_own_over_both():
    """As in `cosim.run(topology, set=..., seed=...)`."""
    both = {"sets": ["run.seed=1"], "set": {"run.seed": 2}}
    assert loaded("quickstart", **both).run.seed == 2
    assert loaded("quickstart", **both, seed=3).run.seed == 3


def test_an_override_may_set_what_the_file_leaves_out():
    topology = load("iommu0.geometry.levels=2", "dram0.bandwidth=16 GB/s", "nic0.colour=red", "expect.faults.max=3")
    assert topology.parts["iommu0"].geometry.levels == 2
    assert topology.parts["dram0"].bandwidth == 128 * 10**9
    assert topology.parts["nic0"].colour.value == "red"
    assert topology.expect.faults.max == 3
    assert load("run.seed=5", text=TEXT.replace("run: {until: 1 ms, seed: 1}\n", "")).run.seed == 5


def test_an_override_reaches_every_section():
    topology = load(
        *("run.until=2 ms", "threads.0.pages=3", "threads.*.on=cpu7", "threads.1.on=cpu2"),
        *("domains.shared.devices=[nic1, nic2]", "stalls.0.for=5 us", "driver=v2", "driver.attach=context-first"),
    )
    assert topology.run.until == 2 * 10**9
    assert [thread.on for thread in topology.threads] == ["cpu7", "cpu2"]
    assert topology.threads[0].pages == 3
    assert topology.domains["shared"].devices == ("nic1", "nic2")
    assert topology.stalls[0].for_ == 5 * 10**6
    assert topology.driver.model_dump() == {"variant": "v2", "attach": "context-first"}


def test_the_number_of_members_is_an_override_like_any_other():
    assert len(sizes(load("nic.count=20"))) == 20
    assert sizes(load("nic1.traffic.size=64 B", "nic.count=2")) == {"nic0": 1500, "nic1": 64}
    assert list(sizes(load("n*.count=1", "parts.nic.count=2"))) == ["nic0", "nic1"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("5", 5),
        ("0x1_0000", 0x10000),
        ("on", "on"),
        ("'5'", "5"),
        ("null", None),
        ("[a, 2]", ["a", 2]),
        ("{a: 1 ns}", {"a": "1 ns"}),
        ("*", "*"),
        ("nic*", "nic*"),
        ("a=b", "a=b"),
        ("!x", "!x"),
        *((f"{sign}x", f"{sign}x") for sign in "&%@`|>"),
        ("  64 B ", "64 B"),
    ],
)
def test_a_value_is_written_as_in_a_file(written, value):
    assert Override.parse(f"a.b={written}").value.plain == value


def test_from_python_an_override_is_a_value():
    override = Override.of("nic3.traffic.size", "64 B")
    source = Source.parse(TEXT).resolved((), [override, Override.of("run.seed", -1)], LEGAL, {"driver": "variant"})
    assert source.data["parts"]["nic3"]["traffic"]["size"] == "64 B"
    with pytest.raises(TopologyError) as caught:
        validate(Topology, source, check)
    assert str(caught.value) == "run.seed=-1: run.seed: -1 is out of bounds: it must be at least 0"


@pytest.mark.parametrize(
    ("override", "error"),
    [
        ("foo", "has no = and value; write one such as iommu0.geometry.walkers=8"),
        ("a.b=", "has no value; write one such as iommu0.geometry.walkers=8"),
        ("=3", "has no path; write one such as iommu0.geometry.walkers=8"),
        ("run.until=[1, 2", "a ',' or ']' is missing before this; its bracket opens in this line"),
        ("run.until=a: b: c", "a ': ' cannot stand here; quote the text, or put the key on its own line"),
        (
            "run.seed=010",
            "010: a number does not begin with 0; write 10 (0o10 if it is octal), or quote it if it is text",
        ),
        ("run={seed: 1, seed: 2}", "given twice; the first is in line 1"),
    ],
)
def test_an_override_that_cannot_be_read_is_refused(override, error):
    with pytest.raises(TopologyError) as caught:
        Override.parse(override)
    assert str(caught.value) == f"-s {override}: {error}"


@pytest.mark.parametrize(
    ("override", "error"),
    [
        ("iomu0.geometry.walkers=3", "parts.iomu0: matches no part; did you mean iommu0?"),
        ("rn.until=1 ms", "parts.rn: matches no part; did you mean run?"),
        ("zzz.x=1", "parts.zzz: matches no part; there are: dram0, iommu0, nic0...nic9"),
        ("gpu*.x=1", "parts.gpu*: matches no part; there are: dram0, iommu0, nic0...nic9"),
        ("nic10.traffic.size=4 B", "parts.nic10: matches no part; did you mean nic1?"),
        ("parts.dram1.base=3", "parts.dram1: matches no part; did you mean dram0?"),
        ("iommu0.geometry.wakers=3", "parts.iommu0.geometry.wakers: unknown field; did you mean walkers?"),
        ("iommu0.geometri.walkers=3", "parts.iommu0.geometri: unknown field; did you mean geometry?"),
        ("nic*.traffic.sise=3", "parts.nic*.traffic.sise: unknown field; did you mean size?"),
        ("nic.traffic.sise=3", "parts.nic.traffic.sise: unknown field; did you mean size?"),
        ("dram*.traffic.size=3", "parts.dram*.traffic: unknown field; there are: kind, base, size, latency, bandwidth"),
        ("nic3.count=4", "parts.nic3.count: a count belongs to the part as a whole: write its name without a number"),
        ("nic.count=0", "parts.nic.count: a count is a whole number from 1 to 65536, not 0"),
        ("threads.2.pages=1", "threads.2: no such entry; threads has 2, numbered from 0"),
        ("threads.x.pages=1", "threads.x: no such entry; threads has 2, numbered from 0"),
        ("threads.*.x=1", "threads.*.x: unknown field; there are: on, does, pages, buffers"),
        ("run.until.x=3", "run.until.x: run.until is 1 ms, which has no fields"),
        ("domains.shraed.devices=nic0", "domains.shraed: unknown entry; did you mean shared?"),
        ("nic3.traffic.size=1 KB", "parts.nic3.traffic.size: 1 KB: unknown unit KB; did you mean kB or KiB?"),
        ("nic.traffic.size=1 KB", "parts.nic.traffic.size: 1 KB: unknown unit KB; did you mean kB or KiB?"),
        (
            "iommu0.geometry={iotlb_entires: 3}",
            "parts.iommu0.geometry.iotlb_entires: unknown field; did you mean iotlb_entries?",
        ),
        ("threads=3", "threads: expected a list, found 3"),
        (
            "nic[1-3].traffic.size=8 KiB",
            "parts.nic1.traffic.size: 8 KiB is out of bounds: it must be at most 4 KiB "
            "(likewise parts.nic2.traffic.size, parts.nic3.traffic.size)",
        ),
        (
            "nic[1-6].traffic.size=8 KiB",
            "parts.nic1.traffic.size: 8 KiB is out of bounds: it must be at most 4 KiB "
            "(likewise parts.nic2.traffic.size, parts.nic3.traffic.size, parts.nic4.traffic.size and 2 more places)",
        ),
    ],
)
def test_an_override_that_reaches_nothing_right_says_what_would_be(override, error):
    assert problems(override) == [f"-s {override}: {error}"]


def test_without_a_schema_an_override_may_set_any_field_of_an_existing_mapping():
    source = Source.parse("parts: {a: {x: 1}}\n")
    assert source.resolved((), [Override.parse("a.y.z=2")]).data == {"parts": {"a": {"x": 1, "y": {"z": 2}}}}
    assert [str(problem) for problem in source.resolved((), [Override.parse("a.x.z=2")]).problems] == [
        "-s a.x.z=2: parts.a.x.z: parts.a.x is 1, which has no fields"
    ]


def test_a_resolved_topology_runs_again_by_itself():
    source = resolved("nic3.traffic.size=64 B", overlays=["run: {seed: 7}"])
    again = Source.parse(dump(source.data)).resolved(legal=LEGAL, shorthand={"driver": "variant"})
    assert again.data == source.data
    assert validate(Topology, again, check) == validate(Topology, source, check)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(
    count=st.integers(2, 12),
    changes=st.lists(
        st.tuples(st.sampled_from(["nic", "nic*", "nic1", "nic?", "nic1*", "nic[02]"]), st.integers(1, 9))
    ),
)
def test_overrides_in_turn_equal_writing_every_member_by_hand(count, changes):
    """The twin keeps one value for each member, and each override sets those whose name it matches."""
    from fnmatch import fnmatchcase

    expected = {f"nic{index}": 0 for index in range(count)}
    overrides, refused = [], 0
    for pattern, value in changes:
        matching = [name for name in expected if pattern == "nic" or fnmatchcase(name, pattern)]
        expected |= dict.fromkeys(matching, value)
        refused += not matching
        overrides.append(Override.of(f"{pattern}.x", value))
    source = Source.of({"parts": {"nic": {"count": count, "x": 0}}}).resolved((), overrides)
    assert {name: part["x"] for name, part in source.data["parts"].items()} == expected
    assert len(source.problems) == refused


@pytest.mark.parametrize(
    ("override", "name", "most"),
    [
        ("expect.scalars.nic0.reads.max=3", "nic0.reads", 3),
        ("expect.scalars.iommu0.walks.max=9", "iommu0.walks", 9),
        ("expect.scalars.iommu*.walks={max: 9}", "iommu0.walks", 9),
    ],
)
def test_names_of_values_may_have_dots(override, name, most):
    assert load(override).expect.scalars[name].max == most
    assert load(override.partition(".max")[0].partition("={")[0] + "=7").expect.scalars[name] == 7


def test_names_of_what_has_fields_have_none():
    assert load("domains.other.devices=nic3").domains["other"].devices == "nic3"
    with pytest.raises(TopologyError, match=r"domains.other.devies: unknown field; did you mean devices\?"):
        load("domains.other.devies=nic3")


# --- Entries of one word ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["driver: {attach: v2}", "driver: {attach: {policy: v2}}"])
def test_an_override_goes_on_below_an_entry_that_is_one_word(first):
    def set_in(text, *overrides):
        parsed = [Override.parse(one) for one in overrides]
        return Source.parse(text).resolved((), parsed, shorthand={"driver": "variant"}, words={"driver": "policy"}).data

    fields = {"policy": "v2", "without": "barrier"}
    assert set_in(first, "driver.attach.without=barrier") == {"driver": {"attach": fields}}
    both = set_in("driver: merged", "driver.attach=v2", "driver.attach.without=barrier")
    assert both == {"driver": {"variant": "merged", "attach": fields}}
    assert set_in(first, "driver.attach=v3") == {"driver": {"attach": "v3"}}
    assert set_in("driver: {}", "driver.attach.without=x") == {"driver": {"attach": {"without": "x"}}}
