"""Configuration of a process: the only reader of files, flags and the environment."""
