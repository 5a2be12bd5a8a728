"""The command line for operations: ``python starter.py --help``."""

import typer

from cli.backtest import backtest
from cli.running import demo, up

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Dunlin: durable debt-collection outreach."
)
app.command()(up)
app.command()(demo)
app.command()(backtest)


@app.callback()
def _main() -> None:
    """Dunlin: durable debt-collection outreach."""


if __name__ == "__main__":
    app()
