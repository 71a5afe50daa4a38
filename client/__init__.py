"""The node agent: runs allocations on one machine."""
