"""Where `hanse` begins: find the command, parse its flags, carry it out.

Start-up time matters here: a command's module, and what it needs, is imported only when it runs.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hanse.cli.command import Command, Context, Edges

_INTERRUPTED = 130
_HELP = frozenset({"-h", "-help", "--help"})
_VERSION = frozenset({"-v", "-version", "--version"})


def main() -> int:
    """The entry point of the process; returns its exit code."""
    words = sys.argv[1:]
    if words and (words[0] in _VERSION or words == ["version"]):
        from hanse.cli.version import text

        sys.stdout.write(text() + "\n")
        return 0
    for stream in (sys.stdout, sys.stderr):
        # A character that the locale lacks must not end a command in a trace.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = call(words, edges(words, os.environ))  # noqa: TID251 - the one place that reads it
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Who reads our output has seen enough. Python must not complain of it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def edges(words: Sequence[str], environment: Mapping[str, str]) -> Edges:
    """This process's own terminal and clock."""
    from hanse.cli.command import Edges as SystemEdges
    from hanse.cli.terminal import Terminal

    terminal = Terminal(color=_color(words, environment))
    return SystemEdges(terminal, environment, time.time_ns, _sleep)


def call(words: Sequence[str], edges: Edges) -> int:
    """Carry out a command line and return the exit code."""
    command, rest = find(words)
    if command is None or not _HELP.isdisjoint(_own(command, rest)):
        return _without_command(words, command, rest, edges)
    return _carry_out(command, rest, edges)


def find(words: Sequence[str]) -> tuple[Command | None, list[str]]:
    """The command that the words begin with, and the words after its name."""
    from hanse.cli.table import ALIASES, COMMANDS

    for count in range(min(3, len(words)), 0, -1):
        name = " ".join(words[:count])
        command = COMMANDS.get(ALIASES.get(name, name))
        if command is not None:
            return command, list(words[count:])
    return None, list(words)


def _own(command: Command, rest: Sequence[str]) -> list[str]:
    """Words that are the command's own, not those of a program that it is to run."""
    own: list[str] = []
    for word in rest:
        if word == "--" or (command.stop_at_argument and not word.startswith("-")):
            break
        own.append(word)
    return own


def _without_command(
    words: Sequence[str],
    command: Command | None,
    rest: Sequence[str],
    edges: Edges,
) -> int:
    from hanse.cli import help as texts
    from hanse.cli.table import GROUPS

    terminal = edges.terminal

    if command is not None:
        terminal.out(texts.command_help(command))
        return 0
    if not words or words[0] in _HELP or words[0] == "help":
        asked = list(words[1:]) if words and words[0] == "help" else []
        if asked:
            return call([*asked, "-help"], edges)
        (terminal.out if words else terminal.err)(texts.main_help())
        return 0 if words else 127
    if words[0].lstrip("-") in ("autocomplete-install", "autocomplete-uninstall"):
        from hanse.cli.completion import install

        return install(terminal, undo=words[0].endswith("uninstall"))
    if words[0] == "-complete":
        return _complete(words[1:], edges)
    names = [word for word in rest if not word.startswith("-")]
    for count in range(len(names), 0, -1):
        group = " ".join(names[:count])
        if group in GROUPS and count == len(names):
            asked_help = any(word in _HELP for word in rest)
            (terminal.out if asked_help else terminal.err)(texts.group_help(group))
            return 0 if asked_help else 1
    terminal.err(texts.unknown(names or list(words)))
    return 127


def _complete(words: Sequence[str], edges: Edges) -> int:
    from hanse.cli.command import Command

    command = Command("-complete", "Complete an id", "hanse.cli.completion:answer", counts=(1, 2))
    return _carry_out(command, words, edges)


def _carry_out(command: Command, rest: Sequence[str], edges: Edges) -> int:
    from importlib import import_module

    from hanse.cli.command import Context, Failed
    from hanse.cli.flags import UsageError, parse
    from hanse.cli.table import flags_of
    from hanse.errors import HanseError

    terminal = edges.terminal
    try:
        flags, arguments = parse(
            rest,
            flags_of(command),
            stop_at_argument=command.stop_at_argument,
            not_yet=command.not_yet,
        )
        if len(arguments) < command.counts[0] or len(arguments) > (
            command.counts[1] if command.counts[1] is not None else len(arguments)
        ):
            raise UsageError(_counts(command))
        module, _, function = command.run.partition(":")
        context = Context(command, flags, arguments, edges)
        with context:
            return _ended(getattr(import_module(module), function), context)
    except UsageError as error:
        terminal.err(f"{error}\nFor help: hanse {command.name} -help")
        return 255 if command.name == "job plan" else 1
    except Failed as failure:
        if failure.text:
            terminal.err(failure.text)
        return failure.code
    except HanseError as error:
        terminal.err(f"Error: {error}{_hint(error)}")
        return 255 if command.name == "job plan" else 1


def _ended(function: object, context: Context) -> int:
    assert callable(function)
    code = function(context)
    assert isinstance(code, int)
    return code


def _sleep(delay_s: float) -> None:
    threading.Event().wait(delay_s)


def _counts(command: Command) -> str:
    low, high = command.counts
    if high is None:
        said = f"at least {low} argument" + ("s" if low != 1 else "")
    elif low == high:
        said = "no arguments" if low == 0 else f"{low} argument" + ("s" if low != 1 else "")
    else:
        said = (
            f"{low} to {high} arguments" if low else f"at most {high} argument" + "s" * (high != 1)
        )
    return f"This command takes {said}" + (f": {command.arguments}" if command.arguments else "")


def _hint(error: Exception) -> str:
    from hanse.sdk.transport import Unreachable

    if isinstance(error, Unreachable) and "connection refused" in str(error):
        return (
            "\nIs an agent running there? `hanse agent -dev` starts one; -address or HANSE_ADDR "
            "says where it is."
        )
    return ""


def _color(words: Sequence[str], environment: Mapping[str, str]) -> bool | None:
    """Whether there are colours; None: where the output is a terminal."""
    flags = {word.lstrip("-") for word in words if word.startswith("-")}
    if "no-color" in flags:
        return False
    if "force-color" in flags:
        return True
    for name, answer in (("CLI_NO_COLOR", False), ("CLI_FORCE_COLOR", True)):
        for prefix in ("HANSE_", "NOMAD_"):
            if environment.get(prefix + name, "") not in ("", "0", "false"):
                return answer
    return False if environment.get("NO_COLOR") else None
