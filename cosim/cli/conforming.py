"""The verb that holds what is here against others: what they have judged, or what their driver does."""

from __future__ import annotations

from typing import Any

import click

from cosim.cli.options import columns, guarded, kernel_option, with_kernel


@click.command(short_help="Replay conformance vectors and litmus tests; hold two drivers against each other.")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@click.option(
    "--executor",
    type=click.Choice(["untimed", "agenda", "plain"]),
    default="untimed",
    show_default=True,
    help="What vectors are replayed on: without latencies, or, by either executor, on random IOMMUs.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="What random IOMMUs and scenes derive from.")
@click.option("--driver", metavar="NAME|FILE.py:NAME", help="Compare what this driver does in each topology FILE...")
@click.option("--against", metavar="NAME|object:PATH,...", help="... with what this one does there.")
@kernel_option
@click.option("--random", type=click.IntRange(min=0), default=0, metavar="N", help="Compare in N drawn scenes, too.")
@click.option("--verbose", "-v", is_flag=True, help="Also print what passed and what was skipped, and why.")
@guarded
def conform(
    files: tuple[str, ...],
    executor: str,
    seed: int,
    driver: str | None,
    against: str | None,
    kernel: str | None,
    random: int,
    verbose: bool,
) -> int:
    """Replay conformance vectors and litmus tests from FILE... and compare every answer.

    Vectors are replayed on the modelled IOMMU; their steps are counted from 0. Of a litmus test all that the modelled
    CPUs may do is searched, under each memory model, whatever the executor and the seed.

    The last line is `N passed, N failed, N skipped`; the exit code is 1 if any failed.

    With --driver and --against, FILE... are topologies (kernel_traces and those of the review if there are none), and
    what the two drivers do there is compared, thread by thread: register accesses, commands, fences, atomics, stores
    to what hardware reads, locks, allocations. Of each thread the first difference is shown, side by side.
    """
    if (driver is None) != (against is None):
        raise click.UsageError("--driver and --against go together: a driver, and the one that it is compared with")
    if driver is None or against is None:
        if not files:
            raise click.UsageError("Missing argument 'FILE...'.")
        if random:
            raise click.UsageError("--random draws scenes for two drivers: give --driver and --against")
        from cosim.study.conform.conform import conform as replay

        return replay(files, executor=executor, seed=seed, verbose=verbose, echo=click.echo, columns=columns())
    from cosim.study.conform.drivers.judge import WIDTH, judge

    against = with_kernel(against, kernel) or against
    asked: dict[str, Any] = {"random": random, "seed": seed, "verbose": verbose}
    return judge(files, driver=driver, against=against, **asked, echo=click.echo, width=columns(WIDTH))
