"""The region's state in memory, fed by one watch of the store."""
