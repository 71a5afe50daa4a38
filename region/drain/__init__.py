"""Moves what runs off nodes that are being drained, at a pace the jobs can bear."""
