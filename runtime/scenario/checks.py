"""Whether the story adds up: asked of the database when it is over, never of what was told."""

from sqlalchemy import Connection

from runtime.scenario.stage import Stage
from runtime.summary import summarise

_ALWAYS = {
    "nobody decided what they had asked for": "SELECT count(*) = 0 FROM approvals WHERE asked_by = decided_by",
    "every person in the record is registered, in the role they had": (
        "SELECT count(*) = 0 FROM case_events e JOIN actors a ON a.code = e.body::jsonb ->> 'actor' "
        "WHERE e.body::jsonb ->> 'role' <> a.role"
    ),
    "nothing happened after the end of the story": "SELECT coalesce(max(at), %(now)s) <= %(now)s FROM case_events",
    "nothing waits to be told": "SELECT count(*) = 0 FROM signals WHERE status = 'waiting'",
    "the record is whole: every hash is that of its content, and of what came before": (
        "SELECT count(*) > 0 AND bool_and(hash = encode(sha256(convert_to(concat_ws('|', before, case_key, seq::text, "
        "kind, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), body), 'UTF8')), 'hex')) "
        "FROM (SELECT e.*, coalesce(lag(hash) OVER (PARTITION BY case_key ORDER BY seq), previous_hash) AS before "
        "FROM case_events e) chained"
    ),
    "no item on loan was left": "SELECT count(*) = 0 FROM work_items WHERE status = 'claimed'",
}


def check(stage: Stage) -> dict[str, bool]:
    """Return every sentence about the end, and whether it holds."""
    sums = summarise(stage.engine).wrong
    with stage.engine.connect() as connection:
        found = {name: _holds(connection, query, stage) for name, query in {**_ALWAYS, **stage.expected}.items()}
    return {"the summary adds up": not sums, **dict.fromkeys(sums, False), **found}


def _holds(connection: Connection, query: str, stage: Stage) -> bool:
    return bool(connection.exec_driver_sql(query, {"now": stage.now}).scalar_one())
