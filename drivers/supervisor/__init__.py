"""The process that stays with a task: standard library only, started by path, kept small."""
