"""Running one task: the machine that decides and the runner that acts."""
