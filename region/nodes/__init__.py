"""Nodes as the servers see them: registration, presence, sessions' reports."""
