"""The report of a run, on results made by hand: what stands where, and that it fits and adds up."""

import io
import json
import re
from dataclasses import replace

import pytest

from cosim.config.problems import TopologyError
from cosim.study.gather.latencies import Latencies
from cosim.study.report.kernel_log import dmesg
from cosim.study.report.latency_table import merged
from cosim.study.report.report import prepare, print_report, write_results
from cosim.study.run.kernel_lines import LogLine
from tests.study.run.results import MS, NS, SCALARS, US, latency, random_latency, result, stale_dma


def text_of(run):
    """The report as a file would get it."""
    file = io.StringIO()
    print_report(run, file)
    return file.getvalue()


@pytest.fixture(autouse=True)
def _terminal(monkeypatch):
    """No terminal, and 80 columns."""
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")


def block(text, heading):
    """The lines from one that begins with `heading` to the next empty one."""
    lines = text.split("\n")
    start = next(index for index, line in enumerate(lines) if line.startswith(heading))
    return lines[start : lines.index("", start)]


def test_the_first_line_says_what_limited_the_run():
    first = " ".join(text_of(result()).split("\n\n")[0].split())
    assert first == (
        "p99 of nic0.read is 79 % waiting for a walker; iommu0's walkers were 98 % busy; "
        "try -s iommu0.geometry.walkers=8"
    )


@pytest.mark.parametrize("run", [result(), stale_dma()])
def test_nothing_is_wider_than_the_terminal(run):
    assert all(len(line) <= 80 for line in text_of(run).split("\n"))


def test_a_wide_terminal_is_used(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert max(map(len, text_of(result()).split("\n"))) > 80


@pytest.mark.parametrize("title", ["DMA requests", "Driver calls"])
def test_the_parts_under_each_row_add_up_to_its_mean_as_printed(title):
    """Largest first, and rounded so that a reader can add them."""
    rows = re.split(r"\n(?=\S)", "\n".join(block(text_of(result()), title)))[1:]
    assert len(rows) == 2
    for row in rows:
        name, below = row.split("\n", 1)
        mean = int(name.split()[2].replace(",", "").replace(".", ""))
        terms = below.split("from p99")[0]
        parts = [int(text.replace(",", "").replace(".", "")) for text in re.findall(r" ([\d,]+\.\d+)", terms)]
        assert sum(parts) == mean
        assert parts == sorted(parts, reverse=True)


def test_the_tail_is_shown_where_it_is_made_of_something_else():
    usual, other = latency(walk=100 * NS, link=50 * NS), latency(1000, 900 * NS, walk=100 * NS, link=500 * NS)
    lines = block(text_of(result(latencies={"nic0.read": usual, "nic1.read": other})), "DMA requests")
    assert [line for line in lines if "from p99 on" in line] == ["  from p99 on: walk 67 %, link 33 %"]
    assert lines.index("  from p99 on: walk 67 %, link 33 %") > lines.index(
        next(li for li in lines if li.startswith("nic1."))
    )


def test_driver_calls_stand_in_order_of_the_time_they_took_in_all():
    calls = {"cpu0.t0.map": latency(10, cpu=900 * NS), "cpu0.t0.unmap": latency(100, fence=800 * NS)}
    lines = block(text_of(result(latencies=calls)), "Driver calls")
    assert [line.split()[0] for line in lines[1:] if line[0] != " "] == ["cpu0.t0.unmap", "cpu0.t0.map"]


def test_calls_of_many_threads_are_taken_together_only_if_there_is_no_room():
    """Three threads' calls are told apart; five threads' are not, and have a worst one each."""
    calls = [f"cpu{n}.t0.{call}" for n in range(5) for call in ("map", "unmap", "cmd_sync")]

    def names(calls):
        lines = block(text_of(result(latencies={name: latency(9, cpu=900 * NS) for name in calls})), "Driver calls")
        return [line.split("  ")[0] for line in lines[1:] if not line.startswith(" ")]

    assert sorted(names(calls[:9])) == sorted(calls[:9])
    assert [name for name in names(calls) if "worst" not in name] == [
        "cpu0..4.t0.map",
        "cpu0..4.t0.unmap",
        "cpu0..4.t0.cmd_sync",
    ]
    assert len(names(calls)) == 6


def test_of_masters_whose_p99_is_one_number_the_one_with_the_longest_tail_is_the_worst():
    reads = {f"nic{n}.read": latency(9, memory=80 * NS) for n in range(10)}
    reads["nic7.read"] = replace(reads["nic7.read"], max_ps=90 * NS)
    assert "worst: nic7.read" in text_of(result(latencies=reads))


def test_many_like_masters_share_a_row_and_the_worst_has_its_own():
    reads = {f"nic{n}.read": random_latency(n, 100) for n in range(10)}
    text = text_of(result(latencies=reads))
    rows = [line.split() for line in block(text, "DMA requests") if not line.startswith(" ")][1:]
    assert [row[0] for row in rows] == ["nic0..9.read", "worst:"]
    assert rows[0][1] == "1,000"
    worst = max(reads, key=lambda name: reads[name].p99_ps)
    assert rows[1][1] == worst
    assert rows[0][-2].startswith("≤")


def test_a_merged_distribution_has_the_exact_mean_and_maximum_and_bounds_the_quantiles():
    samples = [[7, 100, 3], [1000, 2], [50] * 9]
    each, together = [], Latencies()
    for totals in samples:
        seen = Latencies()
        for total in totals:
            for into in (seen, together):
                into.add(total, {"memory": total})
        each.append(seen.summary())
    found, exact = merged(each), together.summary()
    assert (found.count, found.max_ps) == (exact.count, exact.max_ps)
    assert abs(found.mean_ps - exact.mean_ps) <= 1
    assert all(getattr(found, name) >= getattr(exact, name) for name in ("p50_ps", "p95_ps", "p99_ps", "p999_ps"))


def test_times_too_far_apart_carry_their_own_units():
    calls = {"cpu0.t0.map": latency(cpu=80 * NS), "cpu0.t0.unmap": latency(100, 90 * 10**12, fence=3 * US)}
    text = text_of(result(latencies=calls))
    assert re.search(r"cpu0\.t0\.unmap +100 +1\.80 s +3\.00 us", text)
    assert "= cpu 80.0 ns (100 %)" in text
    assert all(len(line) <= 80 for line in text.split("\n"))


def test_a_master_tells_what_it_got_done():
    assert block(text_of(result()), "Masters")[1].split() == ["nic0", "11,135", "3,000", "6.33", "1.71", "16.00", "0"]


def test_an_iommu_tells_of_its_caches_walks_commands_and_queues():
    assert block(text_of(result()), "iommu0") == [
        "iommu0",
        "  caches    ddtc hit > 99.9 % of 14,135, iotlb hit 87.3 % of 14,135,",
        "            nonleaf1 hit 99.9 % of 1,702",
        "  walks     page table 1,702 of 1.18 reads, directory 1 of 3.00 reads,",
        "            88 waits for another's walk",
        "  commands  514 = iotinval_vma 257 + iofence 257",
        "  queues    cq 3.20 deep on average, 17 at most, fq always empty",
    ]


def test_an_iommu_that_did_nothing_says_so():
    idle = {name: 0 for name in SCALARS if name.startswith("iommu0") and "utilisation" not in name}
    assert block(text_of(result(scalars=idle)), "iommu0") == [
        "iommu0",
        "  caches    not used",
        "  walks     none",
        "  commands  0",
        "  queues    cq always empty, fq always empty",
    ]


def test_a_command_consumer_that_stalled_says_for_how_long():
    text = text_of(result(scalars=SCALARS | {"iommu0.commands.stalled_ps": 200 * MS}))
    assert "  commands  514 = iotinval_vma 257 + iofence 257 (stood still for 200 ms)\n" in text


def test_resources_stand_in_order_of_use_with_a_bar():
    lines = block(text_of(result()), "Busy")[1:]
    names = [line.split()[0] for line in lines]
    assert names == [
        "iommu0.walkers",
        "cpu0",
        "dram0.port",
        "nic0.link_up",
        "iommu0.commands",
    ]
    lengths = [line.count("█") for line in lines]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] == 39


def test_an_encoding_without_bars_gets_hashes():
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    reads = {f"nic{n}.read": random_latency(n, 100) for n in range(10)}
    print_report(result(latencies=reads), file)
    file.flush()
    text = file.buffer.getvalue().decode("ascii")
    assert re.search(r"iommu0.walkers +98 %  #{39}\n", text)
    assert "<=" in text


def test_a_failure_shows_what_was_violated_and_how_to_see_it_again():
    lines = block(text_of(stale_dma()), "failed")
    assert lines[0].startswith("failed: quickstart, driver merged, seed 1, digest")
    assert lines[1] == "  ! 7 violations, and none was expected"
    assert lines[2] == "  violation of stale-dma: nic0 (device 1) read 0x80201000 by IOVA 0xfffff000 at"
    assert "    7 of stale-dma: read, page unmapped" in lines
    assert "  replay: cosim run concurrent_attach --driver v2 --seed 1" in lines


@pytest.mark.parametrize(("oracle", "first"), [("stale-dma", "violation of stale-dma"), ("endless-call", "! 7 viol")])
def test_what_was_violated_before_a_run_was_stuck_stands_in_front_of_that(oracle, first):
    """It may be why; a deadlock is none that comes before itself."""
    run = replace(stale_dma(), outcome="stuck")
    run = replace(run, violations=tuple(replace(each, oracle=oracle) for each in run.violations))
    lines = block(text_of(run), "stuck")
    assert lines[1].strip().startswith(first)
    assert "  ! 7 violations, and none was expected" in lines


def test_a_run_that_went_well_shows_no_replay():
    assert "replay" not in text_of(result(replay="cosim run quickstart"))


def test_failed_requests_stand_by_device_and_cause():
    assert block(text_of(stale_dma()), "Failed requests")[1:] == [
        "  nic0  6 of 90 = refused 4 (read_page_fault 3 + ddt_not_valid 1) + on the bus 2",
        "      (access_fault 2)",
    ]


def test_the_window_says_what_was_not_measured():
    assert "measured 900 us of simulated time, from 57.7 us to 957.7 us after boot" in text_of(result())
    no_warmup = " ".join(text_of(result(window_ps=(42_300_001, MS))).split())
    assert "of simulated time after boot, which took 42.3 us" in no_warmup
    assert "nothing was measured: the run ended at 1 ms, before boot was done" in text_of(
        result(window_ps=(MS, MS), boot_ps=-1)
    )
    assert "before the warm-up was over" in text_of(result(window_ps=(MS, MS)))


def test_repeated_lines_of_the_log_are_counted_and_the_gravest_kept():
    chatter = [LogLine(n * US, "cpu0.boot", "info", f"step {'abcdefghijklmno'[n]} done") for n in range(15)]
    oops = LogLine(99 * US, "cpu1.t0", "oops", "scheduling while atomic")
    lines = block(text_of(result(log=(*chatter, oops, replace(oops, time_ps=MS)))), "Kernel log")
    assert lines[-2] == "  [0.000099] cpu1.t0: oops: scheduling while atomic (and 1 more like this)"
    assert lines[-1] == "  and 8 more lines, which --json has"
    assert len(lines) == 1 + 8 + 1


def test_lines_of_the_log_that_were_not_kept_are_counted():
    chatter = tuple(LogLine(n * US, "cpu0.boot", "info", "done") for n in range(3))
    text = " ".join(text_of(result(log=chatter, log_lines=1_234)).split())
    assert "the last 1,231 of 1,234 lines were dropped; no more than the first are kept" in text
    assert "dropped" not in text_of(result(log=chatter, log_lines=3))


@pytest.mark.parametrize(
    ("who", "level", "text", "said"),
    [
        ("iommu0", "error", "hardware error: command enqueue failed", "iommu0: hardware error: command enqueue failed"),
        ("iommu0", "error", "error: no memory", "iommu0: error: no memory"),
        ("iommu0", "error", "iommu0: no memory", "iommu0: error: no memory"),
        ("iommu0", "warning", "fault queue error: overflow 1", "iommu0: warning: fault queue error: overflow 1"),
        ("kernel", "error", "nic0: -ENOMEM: of a terror: none", "kernel: error: nic0: -ENOMEM: of a terror: none"),
    ],
)
def test_a_line_of_the_log_says_once_who_speaks_and_how_grave_it_is(who, level, text, said):
    assert dmesg(LogLine(2_000 * US, who, level, text)) == f"[0.002000] {said}"


def test_a_run_in_whose_window_nothing_ended_says_so_below_the_verdict():
    nothing = "  ? nothing ended in the measured window\n"
    assert nothing in text_of(result(latencies={}, ended=0))
    assert nothing not in text_of(result(latencies={}, ended=1)), "it began before the window"
    assert nothing not in text_of(result(ended=0, window_ps=(MS, MS))), "there was no window"


def test_memory_in_use_at_the_end_is_told_by_purpose_and_so_are_leaks():
    told = "Kernel memory: table 48 KiB, ddt 12 KiB, objects 160 B, leaked pages 2\n"
    assert told in text_of(result(scalars=SCALARS | {"kernel.leaked_pages": 2}))
    assert "Kernel memory" not in text_of(result(scalars={}))


def test_calls_within_others_are_marked_as_such():
    calls = {f"cpu0.t0.{call}": latency(9, cpu=900 * NS) for call in ("unmap", "iotlb_inval", "cmd_sync")}
    note = "  cmd_sync and iotlb_inval are counted in the calls that make them, too\n"
    assert note in text_of(result(latencies=calls))
    assert "calls that make" not in text_of(result())


def test_a_run_that_ended_before_its_window_reports_no_measurements():
    """What was counted before the window is not a measurement; faults, memory and the log are of the whole run."""
    text = text_of(replace(stale_dma(), latencies={}, window_ps=(MS, MS), boot_ps=-1))
    assert not any(heading in text for heading in ("DMA requests", "Masters", "iommu0\n", "Busy"))
    assert all(heading in text for heading in ("\nFailed requests", "\nKernel memory", "\nKernel log"))


def test_an_empty_run_has_an_empty_report():
    text = text_of(result(scalars={}, latencies={}))
    assert text.startswith("nothing was measured: no request and no call ended in the window\n")
    assert len(text.splitlines()) == 5


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self):
        return True


def colours(text):
    return re.findall(r"\x1b\[[\d;]*3[1-7][\d;]*m", text)


def test_a_terminal_gets_colours_and_a_file_none(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = Terminal()
    print_report(result(), terminal)
    assert colours(terminal.getvalue())
    assert "\x1b" not in text_of(result())


def test_no_color_is_honoured(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    print_report(result(), terminal)
    assert not colours(terminal.getvalue())


def test_results_are_written_to_a_directory_that_need_not_exist(tmp_path):
    where = tmp_path / "new" / "results"
    run = stale_dma()
    write_results(run, where)
    assert sorted(path.name for path in where.iterdir()) == ["log.txt", "report.txt", "result.json", "topology.yaml"]
    assert json.loads((where / "result.json").read_text()) == json.loads(json.dumps(run.as_json()))
    assert (where / "topology.yaml").read_text() == run.resolved
    assert (where / "report.txt").read_text() == text_of(run)
    assert len((where / "log.txt").read_text().splitlines()) == 41


def test_a_report_in_a_file_is_plain_even_if_colour_is_forced(tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    write_results(result(), tmp_path)
    assert "\x1b" not in (tmp_path / "report.txt").read_text()


def test_a_directory_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(TopologyError, match=r"^-o .*taken: cannot be written: File exists$"):
        prepare(tmp_path / "taken")
    with pytest.raises(TopologyError, match="cannot be written: Not a directory"):
        write_results(result(), tmp_path / "taken" / "below")
    assert TopologyError.exit_code == 2


def test_words_of_the_modelled_system_are_printed_as_they_are():
    """Brackets are no markup, and nothing is replaced by an emoji."""
    odd = LogLine(1, "cpu0", "error", "[bold]fault[/bold] :smile: at nic0")
    assert "[bold]fault[/bold] :smile: at nic0" in text_of(result(log=(odd,)))


def test_a_quantile_of_a_histogram_is_marked_and_its_error_said():
    exact = latency(100, link=120 * NS, memory=80 * NS)
    assert "~" not in text_of(result(latencies={"nic0.read": exact}))
    text = text_of(result(latencies={"nic0.read": replace(exact, relative_error=2**-10)}))
    row = next(line for line in text.splitlines() if line.startswith("nic0.read"))
    assert row.split() == ["nic0.read", "100", "200.0", *["~200.0"] * 4, "200.0"]
    assert "  ~ is right to 0.1 %" in text
