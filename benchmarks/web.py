"""How fast the doors are: signed callbacks at a steady rate, from another process, on a real database.

`python -m benchmarks.web [--rate 300] [--seconds 20]`. Every callback is a new one and is kept before it is answered;
they are applied to the ledger at the same time. Prints figures, and fails when the goal is missed.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote, urlencode

from sqlalchemy import Engine

from db.engine import make_engine
from db.intake import Order, import_file
from db.migrate import upgrade
from db.opening import open_page
from db.settings import put_in_force
from domain.clock import BusinessClock
from domain.strategy_file import parse_strategy
from runtime.servers import Servers
from settings import Settings

ROOT = Path(__file__).resolve().parent.parent
PUBLIC, TOKEN = "https://dunlin.example", "benchmark-token"
DOOR = "/twilio/message-status"
GOAL_MS = 250
WARM_UP = 2.0
_LADDER = """
name: bench
version: 1
segment: {}
at_end: wait
steps:
  - {id: one, channel: sms, template: payment-reminder, start: {since: due, days: 1}, between: {hours: "09:00-18:00"}}
"""


def _prepare(engine: Engine, folder: Path, count: int) -> list[str]:
    """Open cases with an attempt each; return the attempts."""
    from datetime import UTC, datetime, timedelta

    at = datetime.now(UTC)
    due = (at - timedelta(days=5)).date()
    path = folder / "ledger.csv"
    head = "account_id,debtor_id,product,currency,amount,due_date,phone,timezone\n"
    rows = [f"L{n},K{n},loan,USD,100.00,{due},+1312{5000000 + n:07d},America/Chicago\n" for n in range(count)]
    path.write_text(head + "".join(rows), encoding="utf-8")
    import_file(engine, Order("ledger", path, at))
    strategy = parse_strategy(_LADDER, "bench.yaml")
    with engine.begin() as connection:
        (digest,) = put_in_force(connection, [strategy], at)
    page = open_page(engine, as_of=at, strategies={digest: strategy}, clock=BusinessClock(), limit=count)
    keys = [case.state.case_key for case in page.cases]
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO attempts (key, case_key, seq, channel, status, due_at, admitted_at) "
            "SELECT k || '/1', k, 1, 'sms', 'sent', now(), now() FROM unnest(%s::text[]) k",
            (keys,),
        )
    return [f"{key}/1" for key in keys]


async def _measure(rate: int, seconds: int) -> int:
    with tempfile.TemporaryDirectory(prefix="dunlin-bench-") as folder:
        settings = Settings(state_dir=Path(folder) / "state")
        async with Servers(settings) as servers:
            upgrade(servers.database_url)
            engine = make_engine(servers.database_url, steady=True)
            attempts = await asyncio.to_thread(_prepare, engine, Path(folder), min(4000, rate * seconds))
            port = servers.port_for("the web part", 0, "DUNLIN_WEB_PORT")
            env = {
                "DUNLIN_STATE_DIR": str(settings.state_folder),
                "DUNLIN_WEB_PORT": str(port),
                "DUNLIN_PUBLIC_URL": PUBLIC,
                "DUNLIN_TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
                "DUNLIN_TWILIO_AUTH_TOKEN": TOKEN,
                "DUNLIN_TWILIO_BASE_URL": "http://127.0.0.1:9",
            }
            await servers.add_child("web", [sys.executable, str(ROOT / "webserver.py")], env, port=port)
            asked = {"port": port, "rate": rate, "seconds": seconds, "attempts": attempts}
            load = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "benchmarks.web", "--load",
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
            )  # fmt: skip
            told, _ = await load.communicate(json.dumps(asked).encode())
            figures = json.loads(told)
            began = time.monotonic()
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                while connection.exec_driver_sql("SELECT count(*) FROM inbox WHERE status = 'received'").scalar_one():
                    await asyncio.sleep(0.1)
            applied = time.monotonic() - began
            engine.dispose()
    print(f"{figures['count']} signed callbacks at {figures['rate']:.0f} a second: {figures['refused']} not taken")
    print(f"p50 {figures['p50']:.1f} ms, p99 {figures['p99']:.1f} ms, longest {figures['longest']:.1f} ms")
    print(f"all in the ledger {applied:.1f} s after the last was acknowledged")
    return 0 if figures["refused"] == 0 and figures["p99"] < GOAL_MS and figures["rate"] > 0.95 * rate else 1


# --- the load, in a process of its own ------------------------------------------------------------------------------


async def _load(asked: dict[str, object]) -> dict[str, float]:
    from twilio.request_validator import RequestValidator

    port, rate, seconds = int(str(asked["port"])), int(str(asked["rate"])), int(str(asked["seconds"]))
    attempts = asked["attempts"]
    assert isinstance(attempts, list)  # noqa: S101 - our own other half
    validator, requests = RequestValidator(TOKEN), []
    states = ("queued", "sending", "sent", "delivered")
    for number in range(rate * seconds):
        attempt = str(attempts[number % len(attempts)])
        target = f"{DOOR}?attempt={quote(attempt, safe='')}"
        form = {"MessageSid": f"SM{number:032d}", "MessageStatus": states[number % 4], "To": "+13125550100"}
        body = urlencode(form).encode()
        signature = validator.compute_signature(PUBLIC + target, form)
        head = (
            f"POST {target} HTTP/1.1\r\nHost: dunlin.example\r\nX-Twilio-Signature: {signature}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        requests.append(head.encode() + body)
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(64):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    took: list[float] = []
    refused = 0

    async def knock(request: bytes, due: float) -> None:
        nonlocal refused
        reader, writer = await free.get()
        writer.write(request)
        answer = await reader.readuntil(b"\r\n\r\n")
        took.append(time.perf_counter() - due)
        refused += int(b" 204 " not in answer.split(b"\r\n", 1)[0])
        free.put_nowait((reader, writer))

    began = time.perf_counter() + 0.2
    tasks = []
    for number, request in enumerate(requests):
        due = began + number / rate
        if (left := due - time.perf_counter()) > 0:
            await asyncio.sleep(left)
        tasks.append(asyncio.create_task(knock(request, due)))
    await asyncio.gather(*tasks)
    whole = time.perf_counter() - began
    warm = sorted(took[int(WARM_UP * rate) :])
    return {
        "count": len(took),
        "rate": len(took) / whole,
        "refused": refused,
        "p50": statistics.median(warm) * 1000,
        "p99": warm[int(len(warm) * 0.99)] * 1000,
        "longest": warm[-1] * 1000,
    }


def main() -> None:
    """Measure, or be the load."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.web", description=__doc__)
    parser.add_argument("--rate", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--load", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        print(json.dumps(asyncio.run(_load(json.load(sys.stdin)))))
        return
    sys.exit(asyncio.run(_measure(options.rate, options.seconds)))


if __name__ == "__main__":
    main()
