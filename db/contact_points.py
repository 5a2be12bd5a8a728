"""What is known of a contact point besides its value: how often, and at which hours, the right party was reached there."""

from sqlalchemy import Connection


def hours_reached(connection: Connection, point_key: str, zone: str) -> dict[int, int]:
    """Return right-party contacts by calls to a number, by the local hour (0-23) at which they were made."""
    rows = connection.exec_driver_sql(
        "SELECT extract(hour FROM t.sent_at AT TIME ZONE %s)::int AS hour, count(*) AS n FROM attempts t "
        "WHERE t.contact_point_key = %s AND t.channel IN ('call', 'voice') AND t.party_reached = 'right_party' "
        "AND t.sent_at IS NOT NULL AND t.admitted_at IS NOT NULL GROUP BY 1 ORDER BY 1",
        (zone, point_key),
    )
    return {row.hour: row.n for row in rows}


def count_reached(connection: Connection, point_key: str | None, by: int) -> None:
    """Count one right-party contact more, or one less when it turns out to have been none."""
    if point_key is None or by == 0:
        return
    connection.exec_driver_sql(
        "UPDATE contact_points SET reached = greatest(0, reached + %s) WHERE key = %s", (by, point_key)
    )
