"""The ledger: what arrived, what was found and who was told, in one SQLite file with one writer at a time."""
