"""Running one allocation: the machine that decides and the runner that acts."""
