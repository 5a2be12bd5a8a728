"""What the ledger can say when an attempt is looked up at a provider by recipient and time."""

from collections.abc import Collection

from sqlalchemy import Engine

from db.engine import reading

_CONTESTED = """
SELECT EXISTS (
    SELECT 1 FROM attempts own
      JOIN contact_points mine ON mine.key = own.contact_point_key
      JOIN contact_points same ON same.kind = mine.kind AND same.value = mine.value
      JOIN attempts other ON other.contact_point_key = same.key AND other.key <> own.key
     WHERE own.key = %(key)s AND other.channel = own.channel AND other.provider_id IS NULL
       AND other.status IN ('dispatching', 'unknown')
       AND other.engine_admitted_at BETWEEN own.engine_admitted_at - interval '5 minutes'
                                        AND own.engine_admitted_at + interval '5 minutes')
"""


class LedgerEvidence:
    """Reads the attempts; writes nothing. Texts of messages are not kept, so they cannot be compared."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of_others(self, attempt_key: str, provider_ids: Collection[str]) -> frozenset[str]:
        """Return the ids that stand in the rows of other attempts."""
        if not provider_ids:
            return frozenset()
        with reading(self._engine) as connection:
            rows = connection.exec_driver_sql(
                "SELECT provider_id FROM attempts WHERE provider_id = ANY(%s) AND key <> %s",
                (list(provider_ids), attempt_key),
            ).scalars()
            return frozenset(rows)

    def contested(self, attempt_key: str) -> bool:
        """Say whether another attempt on the same channel to the same address, within 5 minutes, is unresolved."""
        with reading(self._engine) as connection:
            return bool(connection.exec_driver_sql(_CONTESTED, {"key": attempt_key}).scalar_one())

    def text_digest(self, attempt_key: str) -> str | None:  # noqa: ARG002 - the protocol
        """No text was kept."""
        return None
