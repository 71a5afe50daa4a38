"""What the command says of itself. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from hanse.cli.command import Command
from hanse.cli.flags import Flag
from hanse.cli.table import ALIASES, COMMANDS, GROUPS, NOT_YET, flags_of
from hanse.cli.table.shared import COLORS, GENERAL

_WIDTH = 78
_FIRST = ("run", "status", "stop", "plan", "logs", "exec", "agent", "job", "node", "alloc")


def usage(command: Command) -> str:
    """The line that shows how to call it."""
    return " ".join(filter(None, ("hanse", command.name, "[options]", command.arguments)))


def command_help(command: Command) -> str:
    """All about one command."""
    parts = [f"Usage: {usage(command)}", _wrapped(command.summary + ".", "  ")]
    if command.about:
        parts.extend(_wrapped(paragraph, "  ") for paragraph in command.about.split("\n\n"))
    if command.aliases:
        parts.append("  Also: " + ", ".join(f"hanse {alias}" for alias in command.aliases))
    if command.example:
        parts.append("EXAMPLE\n\n" + textwrap.indent(command.example, "  "))
    if command.flags:
        parts.append("Options:\n\n" + _flags(command.flags))
    own = {flag.name for flag in command.flags}
    general = [flag for flag in flags_of(command) if flag.name not in own]
    title = "General options" if command.general else "Other options"
    parts.append(f"{title}:\n\n" + _flags(general))
    return "\n\n".join(parts)


def group_help(prefix: str) -> str:
    """The commands that begin with some words."""
    rows = _rows(prefix)
    about = GROUPS.get(prefix, "")
    head = f"Usage: hanse {prefix} <subcommand> [options] [arguments]"
    return f"{head}\n\n  {about}.\n\nSubcommands:\n\n{rows}"


def main_help() -> str:
    """What there is."""
    tops = {name.split(" ")[0] for name in COMMANDS}
    common = [name for name in _FIRST if name in tops or name in ALIASES]
    other = sorted(tops - set(common))
    return (
        "Usage: hanse [-version] [-help] [-autocomplete-install] <command> [options] [arguments]"
        "\n\nCommon commands:\n\n"
        + _lines((name, _summary(name)) for name in common)
        + "\n\nOther commands:\n\n"
        + _lines((name, _summary(name)) for name in other)
        + "\n\n`hanse <command> -help` tells more of each."
    )


def _summary(name: str) -> str:
    if name in ALIASES:
        return COMMANDS[ALIASES[name]].summary
    return COMMANDS[name].summary if name in COMMANDS else GROUPS[name]


def _rows(prefix: str) -> str:
    depth = len(prefix.split(" ")) + 1
    words = dict.fromkeys(
        " ".join(name.split(" ")[:depth]) for name in COMMANDS if name.startswith(prefix + " ")
    )
    return _lines((word.split(" ")[-1], _summary(word)) for word in words)


def _lines(rows: Iterable[tuple[str, str]]) -> str:
    rows = list(rows)
    room = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{room}}  {text}" for name, text in rows)


def _flags(flags: Sequence[Flag]) -> str:
    return "\n\n".join(f"  {flag_usage(flag)}\n{_wrapped(flag.about, '    ')}" for flag in flags)


def flag_usage(flag: Flag) -> str:
    """`-name=<value>`."""
    names = f"-{flag.name}" + (f", -{flag.alias}" if flag.alias else "")
    return names if flag.kind == "bool" else f"{names}=<{flag.value}>"


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def unknown(words: Sequence[str]) -> str:
    """What to say to words that are no command."""
    for count in range(min(3, len(words)), 0, -1):
        if "-".join(words[:count]) in NOT_YET:
            return f"`hanse {' '.join(words[:count])}` is not supported yet."
    said = " ".join(words[: 2 if words[0] in GROUPS else 1])
    if said in COMMANDS or said in ALIASES:
        return f"Flags come after the command: `hanse {said} -flag=value`."
    near = suggestions(said)
    text = f"There is no command `hanse {said}`."
    if near:
        text += "\n\nDid you mean:\n" + "\n".join(f"  hanse {name}" for name in near)
    return text + "\n\n`hanse -help` lists all commands."


def suggestions(said: str) -> list[str]:
    """Commands that look like what was said."""
    from difflib import get_close_matches

    names = [*COMMANDS, *ALIASES, *GROUPS]
    return get_close_matches(said, names, n=3, cutoff=0.6)


def reference() -> str:
    """The document of all commands, in Markdown."""
    parts = [
        "# Commands\n",
        "Written by `scripts/gen_cli_reference` from the table in `hanse/cli/table/`; do not edit.",
        "",
        "Flags take one or two dashes, `-x value` or `-x=value`. Exit codes: 0 all is well, 1 an "
        "error, 2 something could not be placed (`job run`, `job eval`, `job scale` and others "
        "that follow an evaluation); `job plan`: 0 no change, 1 changes, 255 an error.",
        "",
        "`-t` takes a template as Go's text/template has it: fields, variables, `if`, `range`, "
        "`with`, pipes, comments, and the functions and, or, not, eq, ne, lt, le, gt, ge, len, "
        "index, slice, print, printf, println, toJson, toPrettyJson, join, upper, lower.",
        "",
        "## General flags",
        "",
        *(_flag_item(flag) for flag in (*GENERAL, *COLORS)),
    ]
    for command in COMMANDS.values():
        parts += ["", f"## hanse {command.name}", "", command.summary + ".", ""]
        parts += [f"    {usage(command)}"]
        if command.about:
            parts += ["", command.about]
        if command.aliases:
            parts += ["", "Also: " + ", ".join(f"`hanse {alias}`" for alias in command.aliases)]
        if command.flags:
            parts += ["", *(_flag_item(flag) for flag in command.flags)]
        if command.example:
            parts += ["", "Example:", "", textwrap.indent(command.example, "    ")]
    return "\n".join(parts) + "\n"


def _flag_item(flag: Flag) -> str:
    return f"- `{flag_usage(flag)}`: {flag.about}"
