"""The ledger in PostgreSQL: tables, migrations, and the functions that own locks and transactions."""
