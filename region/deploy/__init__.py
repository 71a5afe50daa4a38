"""Deployments: is the rollout of a version going well, and what follows from that."""
