"""The web part as its own process, killed while it is being called back: what it acknowledged is in the ledger."""

import asyncio
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cli.say import ROOT
from db.engine import make_engine
from db.migrate import upgrade
from runtime.servers import Servers
from settings import Settings
from tests.activities.cases import open_cases, row
from tests.web.house import PUBLIC, TOKEN, House, message_form

COUNT = 120


async def test_p10_a_web_part_killed_under_load_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path / "state")
    async with Servers(settings, temporal=True) as servers:
        upgrade(servers.database_url)
        engine = make_engine(servers.database_url)
        rows = "".join(row(f"L{n}", f"K{n}", phone=f"+1312555{n:04d}") for n in range(COUNT))
        cases = [one.state.case_key for one in open_cases(engine, tmp_path, rows).values()]
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "INSERT INTO attempts (key, case_key, seq, channel, status, due_at, admitted_at) "
                "SELECT k || '/1', k, 1, 'sms', 'sent', now(), now() FROM unnest(%s::text[]) k",
                (cases,),
            )
        port = servers.port_for("the web part", 0, "DUNLIN_WEB_PORT")
        env = {
            "DUNLIN_STATE_DIR": str(settings.state_folder),
            "DUNLIN_WEB_PORT": str(port),
            "DUNLIN_PUBLIC_URL": PUBLIC,
            "DUNLIN_TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
            "DUNLIN_TWILIO_AUTH_TOKEN": TOKEN,
            "DUNLIN_TWILIO_BASE_URL": "http://127.0.0.1:9",
        }
        web = await servers.add_child("web", [sys.executable, str(ROOT / "webserver.py")], env, port=port)
        house = House(engine, f"http://127.0.0.1:{port}", None, None)  # type: ignore[arg-type]

        def knock(case: str) -> int:
            """Post as Twilio does: again, until it is taken."""
            for _ in range(400):
                try:
                    form = message_form(f"SM{case}", "delivered")
                    status = house.twilio("/twilio/message-status", form, attempt=f"{case}/1").status
                except OSError:
                    status = 0
                if status == 204:
                    return 1
                time.sleep(0.05)
            return 0

        def kill() -> None:
            if web.pid is not None:
                os.kill(web.pid, signal.SIGKILL)

        with ThreadPoolExecutor(4) as pool:
            taken = asyncio.gather(*(asyncio.get_running_loop().run_in_executor(pool, knock, case) for case in cases))
            for _ in range(2):
                await asyncio.sleep(0.4)
                kill()
                await asyncio.sleep(2.5)
            assert sum(await taken) == COUNT
        for _ in range(300):
            with engine.connect() as connection:
                done = connection.exec_driver_sql(
                    "SELECT count(*) FROM attempts WHERE status = 'delivered'"
                ).scalar_one()
            if done == COUNT:
                break
            await asyncio.sleep(0.1)
        assert done == COUNT
        assert servers.restarts["web"] >= 1
        engine.dispose()
