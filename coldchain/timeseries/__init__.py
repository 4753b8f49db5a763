"""The time-series store: a projection of the ledger for dashboards, reports over years and other systems.

The ledger stays the record. Everything here can be dropped and is rebuilt from it by one command.
"""
