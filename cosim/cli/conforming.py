"""The verb that replays what others have judged."""

from __future__ import annotations

import click

from cosim.cli.options import columns, guarded


@click.command(short_help="Replay conformance vectors and litmus tests.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--executor",
    type=click.Choice(["untimed", "agenda", "plain"]),
    default="untimed",
    show_default=True,
    help="What vectors are replayed on: without latencies, or, by either executor, on random IOMMUs.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="What the random IOMMUs derive from.")
@click.option("--verbose", "-v", is_flag=True, help="Also print what passed and what was skipped, and why.")
@guarded
def conform(files: tuple[str, ...], executor: str, seed: int, verbose: bool) -> int:
    """Replay conformance vectors and litmus tests from FILE... and compare every answer.

    Vectors are replayed on the modelled IOMMU; their steps are counted from 0. Of a litmus test all that the modelled
    CPUs may do is searched, under each memory model, whatever the executor and the seed.

    The last line is `N passed, N failed, N skipped`; the exit code is 1 if any failed.
    """
    from cosim.study.conform.conform import conform as replay

    return replay(files, executor=executor, seed=seed, verbose=verbose, echo=click.echo, columns=columns())
