"""The embedded servers keep promise P10: whatever is killed comes back on the same ports with its data."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest
from temporalio.client import WorkflowExecutionStatus

from runtime.client import NotRunning, connect
from runtime.endpoints import Endpoints, StateFolderInUse, running_endpoints
from runtime.process import ServerFailed
from runtime.servers import Servers
from settings import Settings

_ROOT = Path(__file__).resolve().parents[2]
_OWNER = """
import asyncio, sys
from pathlib import Path
from runtime.servers import Servers
from settings import Settings

async def main():
    async with Servers(Settings(state_dir=Path(sys.argv[1]))) as servers:
        await servers.add_child("child", [sys.executable, "-c", "import time; time.sleep(600)"])
        print(*servers.pids.values(), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state")


async def _until(condition: Callable[[], bool], what: str) -> None:
    for _ in range(600):
        if condition():
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"never: {what}")


def _query(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def _runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def test_start_gives_working_servers_and_a_clean_stop_leaves_no_process(settings: Settings) -> None:
    assert running_endpoints(settings) is None
    async with Servers(settings) as servers:
        assert _query(servers.database_url, "SELECT current_setting('fsync')") == [("on",)]
        client = await connect(settings)
        assert client.namespace == "dunlin"
        found = running_endpoints(settings)
        assert found == servers.endpoints
        assert found is not None
        assert found.pid == os.getpid()
        password = found.database_url.split(":")[2].split("@")[0]
        assert password not in repr(found)
        pids = [pid for pid in servers.pids.values() if pid]
        pids += [child.pid for pid in pids for child in psutil.Process(pid).children(recursive=True)]
    assert len(pids) > 2
    assert [pid for pid in pids if _runs(pid)] == []
    assert running_endpoints(settings) is None
    assert list((settings.state_folder / "run").iterdir()) == []
    with pytest.raises(NotRunning, match=r"starter\.py up"):
        await connect(settings)


async def test_the_next_start_has_the_same_ports_and_the_data(settings: Settings) -> None:
    async with Servers(settings) as servers:
        first = servers.endpoints
        _query(servers.database_url, "CREATE TABLE kept AS SELECT 7 AS n")
        client = await connect(settings)
        await client.start_workflow("Asleep", id="case/a", task_queue="nobody")
    async with Servers(settings) as servers:
        assert servers.endpoints == first
        assert _query(servers.database_url, "SELECT n FROM kept") == [(7,)]
        described = await (await connect(settings)).get_workflow_handle("case/a").describe()
        assert described.status == WorkflowExecutionStatus.RUNNING


async def test_a_second_owner_is_refused_and_told_who_is_first(settings: Settings) -> None:
    async with Servers(settings, temporal=False) as servers:
        with pytest.raises(StateFolderInUse, match=f"in use by process {os.getpid()}: .*DUNLIN_STATE_DIR"):
            async with Servers(settings):
                pytest.fail("two owners of one folder")
        assert running_endpoints(settings) == servers.endpoints


async def test_killed_servers_return_on_the_same_ports_with_their_data(settings: Settings) -> None:
    async with Servers(settings) as servers:
        _query(servers.database_url, "CREATE TABLE kept AS SELECT 7 AS n")
        client = await connect(settings)
        await client.start_workflow("Asleep", id="case/a", task_queue="nobody")
        for name in ("postgres", "temporal"):
            killed = servers.pids[name]
            assert killed
            os.kill(killed, signal.SIGKILL)
            await _until(lambda name=name: servers.restarts[name] == 1, f"{name} noticed")  # type: ignore[misc]
        for _ in range(100):
            try:
                assert _query(servers.database_url, "SELECT n FROM kept") == [(7,)]
                break
            except psycopg.OperationalError:
                await asyncio.sleep(0.1)
        described = await client.get_workflow_handle("case/a").describe()
        assert described.status == WorkflowExecutionStatus.RUNNING
        assert servers.restarts == {"postgres": 1, "temporal": 1}
        assert not servers.failed.done()


async def test_a_killed_owner_takes_its_servers_along_and_the_next_start_works(settings: Settings) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(settings.state_folder)],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout
    pids = [int(pid) for pid in owner.stdout.readline().split()]
    assert len(pids) == 3
    before = running_endpoints(settings)
    assert before
    _query(before.database_url, "CREATE TABLE kept AS SELECT 7 AS n")
    owner.kill()
    owner.wait()
    owner.stdout.close()
    assert running_endpoints(settings) is None
    async with Servers(settings) as servers:
        assert servers.temporal_address == before.temporal_address
        assert servers.database_url == before.database_url
        assert _query(servers.database_url, "SELECT n FROM kept") == [(7,)]
        assert [pid for pid in pids if _runs(pid)] == []


async def test_a_leftover_that_outlived_its_owner_is_ended(settings: Settings) -> None:
    leftover = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    run = settings.state_folder / "run"
    run.mkdir(parents=True)
    birth = psutil.Process(leftover.pid).create_time()
    (run / "ours.json").write_text(json.dumps({"pid": leftover.pid, "started_at": birth}))
    (run / "reused.json").write_text(json.dumps({"pid": stranger.pid, "started_at": birth - 3600}))
    try:
        async with Servers(settings, postgres=False, temporal=False):
            assert leftover.poll() is not None
            assert stranger.poll() is None
    finally:
        for process in (leftover, stranger):
            process.kill()
            process.wait()


async def test_a_taken_port_is_named_with_its_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings(state_dir=tmp_path / "state", postgres_port=port)
        with pytest.raises(ServerFailed, match=f"^Port {port} for PostgreSQL is taken: .*DUNLIN_POSTGRES_PORT"):
            async with Servers(settings):
                pytest.fail("started on a taken port")
    assert running_endpoints(settings) is None


async def test_a_remembered_port_that_is_taken_now_gives_way(settings: Settings) -> None:
    async with Servers(settings, temporal=False) as servers:
        before = servers.database_url
    port = int(before.rpartition(":")[2].partition("/")[0])
    with socket.create_server(("127.0.0.1", port)):
        async with Servers(settings, temporal=False) as servers:
            assert servers.database_url != before
            assert _query(servers.database_url, "SELECT 1") == [(1,)]


async def test_a_child_is_started_again_and_stopped_before_the_servers(settings: Settings) -> None:
    code = "import os, sys, time; print(os.environ['MARK'], flush=True); time.sleep(600)"
    async with Servers(settings, postgres=False, temporal=False) as servers:
        child = await servers.add_child("work", [sys.executable, "-c", code], {"MARK": "here"})
        first = child.pid
        assert first
        os.kill(first, signal.SIGKILL)
        await _until(lambda: child.restarts == 1 and child.pid not in (None, first), "the child again")
        second = child.pid
        assert second
        log = settings.state_folder / "logs" / "work.log"
        await _until(lambda: log.read_text().count("here") >= 1, "its environment")
        await servers.stop_child("work")
        assert not _runs(second)
        assert servers.pids == {}


async def test_a_child_that_cannot_be_kept_up_is_said_with_its_last_words(settings: Settings) -> None:
    code = "import sys; print('no such queue', file=sys.stderr); sys.exit(3)"
    async with Servers(settings, postgres=False, temporal=False) as servers:
        await servers.add_child("work", [sys.executable, "-c", code])
        with pytest.raises(ServerFailed, match=r"work dies again and again; .*no such queue"):
            await asyncio.wait_for(servers.failed, 120)


async def test_external_servers_are_used_and_not_run(
    tmp_path: Path, postgres_url: str, temporal_server: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", temporal_server.temporal_address)
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "dunlin")
    monkeypatch.setenv("DUNLIN_DATABASE_URL", postgres_url.replace("+psycopg", "", 1))
    monkeypatch.setenv("DUNLIN_STATE_DIR", str(tmp_path / "state"))
    settings = Settings()
    expected = Endpoints(postgres_url, temporal_server.temporal_address, "dunlin", "", 0)
    assert running_endpoints(settings) == expected
    async with Servers(settings) as servers:
        assert servers.pids == {}
        assert servers.database_url == postgres_url
        assert (await connect(settings)).namespace == "dunlin"
