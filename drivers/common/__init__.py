"""What several drivers share. `rotate` and `cgroups` need the standard library only."""
