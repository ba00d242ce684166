"""Logs, metrics and server-sent events."""
