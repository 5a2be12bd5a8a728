"""What the ledger asks about visits that people planned."""

from datetime import datetime

from sqlalchemy import Connection


def planned_until(connection: Connection, item_key: str, now: datetime) -> datetime | None:
    """Return until when a planned visit of an item may still be made: it is not given up before; ``None`` without one."""
    return connection.exec_driver_sql(
        "SELECT max(window_to) FROM visits WHERE item_key = %s AND status IN ('planned', 'out') AND window_to > %s",
        (item_key, now),
    ).scalar_one_or_none()
