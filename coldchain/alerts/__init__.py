"""Alerts: who is told what, in which words, and the delivery of e-mail."""
