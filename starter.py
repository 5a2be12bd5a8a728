"""The command line for operations: ``python starter.py --help``."""

import gc
import sys

import typer

from cli.actors import app as actors_app
from cli.approvals import app as approvals_app
from cli.backtest import backtest
from cli.bulk import app as bulk_app
from cli.debtor import app as debtor_app
from cli.dialling import calls_app, dial
from cli.dispositions import app as dispositions_app
from cli.disputes import app as disputes_app
from cli.explain import explain
from cli.holds import app as holds_app
from cli.legal import app as legal_app
from cli.moving import adopt, forecast
from cli.operations import cases_app, import_lender_files, open_overdue, signal
from cli.plans import app as plan_app
from cli.rules import app as rules_app
from cli.running import demo, up
from cli.say import run
from cli.stops import stop
from cli.strategy import app as strategy_app
from cli.switches import app as switch_app
from cli.templates import app as templates_app
from cli.visits import app as visits_app
from cli.work import app as work_app

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Dunlin: durable debt-collection outreach.",
)
app.command()(up)
app.command()(demo)
app.command("import")(import_lender_files)
app.command("open")(open_overdue)
cases_app.command()(forecast)
cases_app.command()(adopt)
app.add_typer(cases_app, name="case")
app.command()(signal)
app.add_typer(strategy_app, name="strategy")
app.add_typer(templates_app, name="templates")
rules_app.command()(explain)
app.add_typer(rules_app, name="rules")
app.add_typer(plan_app, name="plan")
app.add_typer(switch_app, name="switch")
app.command()(stop)
app.add_typer(work_app, name="work")
app.add_typer(debtor_app, name="debtor")
app.add_typer(holds_app, name="hold")
app.add_typer(disputes_app, name="dispute")
app.add_typer(legal_app, name="legal")
app.add_typer(visits_app, name="visit")
app.add_typer(bulk_app, name="bulk")
app.command()(dial)
app.add_typer(calls_app, name="call")
app.add_typer(actors_app, name="actor")
app.add_typer(dispositions_app, name="dispositions")
app.add_typer(approvals_app, name="approval")
app.command()(backtest)

if __name__ == "__main__":
    try:
        code = run(app)
    finally:
        gc.collect()
    sys.exit(code)
