"""What came of an item: written to the ledger with the loan it was worked under, then told to its case.

The outcome, its number and the message to the case are one transaction, so nothing that an agent reported is lost
while Temporal is away, and the same report twice is one. The case records it by the same path as the signal
``record_call_outcome``; until it has, the item is ``reported``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from db.locks import lock_item
from db.queue import Queued, note, open_cases_of, read_one, report
from db.record import append_events
from db.signals import tell
from db.work_outcomes import cases_spoken_of, record_after_close, refusal_of_outcome
from desk.queue import Desk, LeaseLostError, QueueError, holds
from domain.codes import TaskKind
from domain.dispositions import Catalogue
from domain.messages import (
    RecordCallOutcome,
    RecordVisitOutcome,
    RefusedMessageError,
    parse_message,
)
from domain.roles import Act, Acting, require

MESSAGE_OF = {
    TaskKind.CALL: "record_call_outcome",
    TaskKind.VISIT: "record_visit_outcome",
    TaskKind.LEGAL: "record_legal_update",
}
"""Which message tells a case what came of an item. What has none is settled here."""
NOTE_SOURCE = "desk"


@dataclass(frozen=True, slots=True)
class Finished:
    """``again``: it had been reported before, in the same words. ``case_key``: who is told, if anybody."""

    key: str
    event_id: str
    disposition: str
    case_key: str | None
    again: bool = False
    after_close: bool = False
    """The case closed while the call was made: what came of it is kept on the attempt."""


def finish(
    desk: Desk,
    acting: Acting,
    key: str,
    lease_no: int,
    outcome: Mapping[str, object],
    now: datetime,
    *,
    logical: bool,
    note_text: str | None = None,
) -> Finished:
    """Record what came of an item one has on loan.

    ``outcome`` has the fields of the item's message without its head (``disposition``, ``party_reached``, ...; of legal
    work ``stage``); review and data repair need a ``disposition`` only. LeaseLostError when the loan is lost;
    QueueError for what does not fit.
    """
    require(acting, Act.RECORD_OUTCOME)
    event_id = f"work/{key}/{lease_no}"
    with desk.engine.begin() as connection:
        lock_item(connection, key)
        before = _before(connection, acting, key, lease_no, outcome)
        if before is not None:
            return before
        closed = _after_close(connection, acting, key, lease_no, outcome, now)
        if closed is not None:
            return closed
        item = holds(connection, acting, key, lease_no)
        whole: dict[str, object] = dict(outcome)
        if note_text is not None:
            whole["note_ref"] = _keep_note(connection, event_id, note_text, now)
        return _finish(connection, desk.catalogue, acting, item, event_id, whole, now, logical=logical)


def _finish(
    connection: Connection,
    catalogue: Catalogue,
    acting: Acting,
    item: Queued,
    event_id: str,
    outcome: Mapping[str, object],
    now: datetime,
    *,
    logical: bool,
) -> Finished:
    name = MESSAGE_OF.get(item.kind)
    if name is None:
        disposition = str(outcome.get("disposition") or "")
        if not disposition:
            raise QueueError(f"{item.key}: name a disposition: what was found, as a code")
        report(connection, item, acting.actor, disposition, {**outcome, "event_id": event_id}, now, done=True)
        done = {"item": item.key, "kind": item.kind, "disposition": disposition, "actor": acting.actor}
        append_events(connection, "item_done", now, [(case, done) for case in open_cases_of(connection, item.key)])
        return Finished(item.key, event_id, disposition, None)
    body = _message(name, item, acting, event_id, outcome)
    lead = _lead(connection, item.key)
    reason = refusal_of_outcome(connection, parse_message(name, body), lead, catalogue)
    if reason is not None:
        raise QueueError(f"{item.key}: {reason}")
    disposition = str(outcome.get("disposition") or outcome.get("stage"))
    report(connection, item, acting.actor, disposition, {**outcome, "event_id": event_id}, now, done=False)
    tell(connection, [lead], name, body, now, logical=logical)
    return Finished(item.key, event_id, disposition, lead)


def _message(
    name: str, item: Queued, acting: Acting, event_id: str, outcome: Mapping[str, object]
) -> dict[str, object]:
    """Return the message to the case; QueueError says what is wrong with it, without values."""
    body = {"event_id": event_id, "actor": acting.actor, "work_item": item.key, **outcome}
    try:
        parse_message(name, body)
    except RefusedMessageError as error:
        raise QueueError(f"{item.key}: {error}") from None
    return body


def _lead(connection: Connection, key: str) -> str:
    """Return the case that hears first and passes it on: the attempt's own where somebody dialled, else the first."""
    open_cases = open_cases_of(connection, key)
    spoken_of = cases_spoken_of(connection, key) or ()
    own = connection.exec_driver_sql(
        "SELECT case_key FROM attempts WHERE item_key = %s AND status IN ('dispatching', 'unknown') "
        "ORDER BY key LIMIT 1",
        (key,),
    ).scalar_one_or_none()
    for one in (own, *spoken_of, *open_cases):
        if one in open_cases:
            return str(one)
    raise QueueError(f"{key}: no case of it is open; there is nobody to tell")


def _before(
    connection: Connection, acting: Acting, key: str, lease_no: int, outcome: Mapping[str, object]
) -> Finished | None:
    """Return what was reported under this loan before; LeaseLostError when it was something else."""
    before = connection.exec_driver_sql(
        "SELECT detail ->> 'disposition' FROM work_events "
        "WHERE item_key = %s AND kind = 'finished' AND lease_no = %s AND actor = %s",
        (key, lease_no, acting.actor),
    ).scalar_one_or_none()
    if before is None:
        return None
    said = str(outcome.get("disposition") or outcome.get("stage") or "")
    if said != before:
        raise LeaseLostError(
            f"{key}: you finished it already, as {before}; a correction is a new event, see docs/agents.md"
        )
    return Finished(key, f"work/{key}/{lease_no}", said, None, again=True)


def _after_close(
    connection: Connection, acting: Acting, key: str, lease_no: int, outcome: Mapping[str, object], now: datetime
) -> Finished | None:
    """Keep what came of a call that was dialled before its case closed, by whoever had the item then."""
    item = read_one(connection, key)
    name = MESSAGE_OF.get(item.kind) if item is not None else None
    if item is None or name is None or item.status not in {"cancelled", "expired"}:
        return None
    if item.claimed_by != acting.actor or item.lease_no != lease_no:
        return None
    event_id = f"work/{key}/{lease_no}"
    message = parse_message(name, _message(name, item, acting, event_id, outcome))
    if not isinstance(message, RecordCallOutcome | RecordVisitOutcome):
        return None
    if record_after_close(connection, key, message, now) is None:
        return None
    note(connection, key, "finished", now, acting.actor, item.lease_no, {"disposition": message.disposition})
    return Finished(key, event_id, message.disposition, None, after_close=True)


def _keep_note(connection: Connection, event_id: str, text: str, now: datetime) -> str:
    """Keep free text where no history and no log sees it; return its reference."""
    connection.exec_driver_sql(
        "INSERT INTO inbox (source, external_id, name, body, received_at, status) "
        "VALUES (%s, %s, 'note', %s, %s, 'applied') ON CONFLICT (source, external_id) DO NOTHING",
        (NOTE_SOURCE, event_id, text.replace("\x00", ""), now),
    )
    return f"inbox/{NOTE_SOURCE}/{event_id}"
