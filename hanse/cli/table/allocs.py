"""`hanse alloc …`."""

from __future__ import annotations

from hanse.cli.command import Command
from hanse.cli.flags import Flag
from hanse.cli.table.shared import DETACH, STRUCTURED, VERBOSE

_TASK = Flag("task", "The task.", "text", "name")
_JOB = Flag("job", "Choose a running allocation of the job that is named instead.")
_GROUP = Flag("group", "With -job: of this group.", "text", "name")

COMMANDS = (
    Command(
        "alloc status",
        "Show an allocation",
        "hanse.cli.alloc_status:run",
        "[allocation]",
        (0, 1),
        (
            Flag("short", "Only the allocation and its tasks' last events."),
            Flag("stats", "Show what the tasks use in detail."),
            *STRUCTURED,
            VERBOSE,
        ),
        "Without an allocation, lists all of the namespace. A prefix of the id is enough.",
        "hanse alloc status 3f9a",
        complete="alloc",
        aliases=("alloc-status",),
        not_yet=frozenset({"ui"}),
    ),
    Command(
        "alloc logs",
        "Show what a task has written",
        "hanse.cli.alloc_logs:run",
        "<allocation> [task]",
        (1, 2),
        (
            Flag("stdout", "Its standard output (by default)."),
            Flag("stderr", "Its standard error."),
            Flag("f", "Go on with what it writes from now on."),
            Flag("tail", "Only the last lines."),
            Flag("n", "With -tail: how many lines (10).", "int", "n"),
            Flag("c", "With -tail: how many bytes.", "int", "n"),
            _TASK,
            _JOB,
            _GROUP,
            VERBOSE,
        ),
        "The text is printed as it is, control characters included. The task may be left out "
        "where there is only one.",
        "hanse alloc logs -f 3f9a\nhanse alloc logs -stderr -tail -n 20 3f9a redis\n"
        "hanse alloc logs -job example",
        complete="alloc",
        aliases=("logs",),
    ),
    Command(
        "alloc exec",
        "Run a program beside a task",
        "hanse.cli.alloc_exec:run",
        "<allocation> <program> [argument…]",
        (2, None),
        (
            Flag("i", "Hand standard input on (true by default)."),
            Flag("t", "Give it a terminal (true by default if this is one)."),
            Flag("e", "The escape character ('~' by default, 'none' for none).", "text", "char"),
            _TASK,
            _JOB,
            _GROUP,
        ),
        "Ends with the program's exit code. On a terminal, the escape character and a dot at the "
        "beginning of a line hang up.",
        "hanse alloc exec 3f9a /bin/sh\nhanse alloc exec -task redis 3f9a redis-cli ping",
        stop_at_argument=True,
        complete="alloc",
        aliases=("exec",),
    ),
    Command(
        "alloc fs",
        "Show the files of an allocation",
        "hanse.cli.alloc_fs:run",
        "<allocation> [path]",
        (1, 2),
        (
            Flag("f", "Go on with what is written from now on."),
            Flag("tail", "Only the last lines."),
            Flag("n", "With -tail: how many lines (10).", "int", "n"),
            Flag("c", "With -tail: how many bytes.", "int", "n"),
            Flag("stat", "Show what kind of file it is, not what is in it."),
            Flag("H", "Sizes and times for people."),
            _JOB,
            _GROUP,
            VERBOSE,
        ),
        "A folder is listed, a file is printed as it is.",
        "hanse alloc fs 3f9a\nhanse alloc fs 3f9a alloc/logs",
        complete="alloc",
        aliases=("fs",),
    ),
    Command(
        "alloc stop",
        "Stop an allocation; another one takes its place",
        "hanse.cli.alloc_actions:stop",
        "<allocation>",
        (1, 1),
        (DETACH, Flag("no-shutdown-delay", "Skip shutdown_delay."), VERBOSE),
        example="hanse alloc stop 3f9a",
        complete="alloc",
    ),
    Command(
        "alloc restart",
        "Restart an allocation's tasks where they are",
        "hanse.cli.alloc_actions:restart",
        "<allocation> [task]",
        (1, 2),
        (_TASK, Flag("all-tasks", "Also tasks that have ended."), VERBOSE),
        example="hanse alloc restart 3f9a redis",
        complete="alloc",
    ),
    Command(
        "alloc signal",
        "Send a signal to an allocation's tasks",
        "hanse.cli.alloc_actions:signal",
        "<allocation> [task]",
        (1, 2),
        (
            Flag("s", "The signal (SIGKILL).", "text", "signal"),
            _TASK,
            VERBOSE,
        ),
        example="hanse alloc signal -s SIGHUP 3f9a redis",
        complete="alloc",
    ),
    Command(
        "alloc checks",
        "Show the results of an allocation's checks",
        "hanse.cli.alloc_actions:checks",
        "<allocation>",
        (1, 1),
        (*STRUCTURED, VERBOSE),
        example="hanse alloc checks 3f9a",
        complete="alloc",
    ),
)
