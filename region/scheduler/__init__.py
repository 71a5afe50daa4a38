"""What runs where: pure functions from a snapshot to a plan."""
