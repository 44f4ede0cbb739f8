"""The command `cosim`: its verbs, in the order in which one needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cosim.cli import comparing, conforming, exploring, fitting, looking, replaying, reporting, running, sweeping
from cosim.cli.layout import LaidOut
from cosim.cli.options import EXIT_CODES

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def _version(context: click.Context) -> None:
    import cosim
    from cosim import compiled

    form = "compiled" if compiled.runs() else "interpreted"
    click.echo(f"cosim {cosim.__version__}, model {cosim.model_version}, {form}")
    context.exit()


class _InOrder(click.Group):
    """Lists its verbs in the order in which one needs them."""

    context_class = LaidOut

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if self.get_command(ctx, args[0]) is None:
            from cosim.system.load import shipped

            if args[0] in shipped() or Path(args[0]).suffix in (".yaml", ".yml"):
                raise click.UsageError(f"{args[0]} is no command; did you mean cosim run {args[0]}?", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_InOrder, context_settings=CONTEXT, epilog=EXIT_CODES)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda context, _, asked: _version(context) if asked else None,
    help="Print the version of cosim, that of the model that results name, and whether its core is compiled.",
)
def main() -> None:
    """Co-simulate the RISC-V IOMMU, its DMA masters and its Linux driver, in simulated time.

    \b
    Start with:
      cosim list                     the topologies that come with cosim
      cosim run quickstart           run one, and see what limited it
      cosim show quickstart          see it in full, ready to be changed
    """


for _verb in (
    *(running.run, sweeping.sweep, reporting.report, comparing.compare, fitting.fit),
    *(exploring.explore, replaying.replay, comparing.diff_driver),
    *(looking.check, looking.show, looking.list_, looking.schema),
    conforming.conform,
):
    _verb.context_class = LaidOut
    main.add_command(_verb)
