"""Shell completion: scripts written from the table of commands, and their installation."""

from __future__ import annotations

from pathlib import Path

from hanse.cli.command import Command, Context, Failed
from hanse.cli.flags import Flag
from hanse.cli.table import ALIASES, COMMANDS, GROUPS, flags_of
from hanse.cli.terminal import Terminal

_BEGIN = "# hanse completion: begin"
_END = "# hanse completion: end"
#: Where each shell looks, relative to the home folder.
_START_FILES = {"bash": ".bashrc", "zsh": ".zshrc"}
_FISH_FILE = ".config/fish/completions/hanse.fish"
#: Kinds of things whose ids an agent knows; the script asks for them with `hanse -complete`.
_ASKED = frozenset({"job", "alloc", "node", "eval", "deployment", "namespace", "node_pool", "any"})


def run(context: Context) -> int:
    """Print a completion script."""
    shell = context.arguments[0]
    scripts = {"bash": bash, "zsh": zsh, "fish": fish}
    if shell not in scripts:
        raise Failed(f'There is no completion for "{shell}"; there is for bash, zsh and fish')
    context.terminal.raw(scripts[shell]().encode())
    return 0


def words_after(words: tuple[str, ...]) -> list[str]:
    """The words that may follow some words of a command's name. Pure."""
    depth = len(words)
    names = [name.split(" ") for name in (*COMMANDS, *ALIASES)]
    return sorted({name[depth] for name in names if len(name) > depth and name[:depth] == [*words]})


def _commands() -> dict[str, Command]:
    return {**COMMANDS, **{alias: COMMANDS[name] for alias, name in ALIASES.items()}}


def _names(flag: Flag) -> list[str]:
    return [f"-{name}" for name in (flag.name, flag.alias) if name]


def _values(kind: str) -> str:
    """What a kind of completion means in bash: words, files or a question to the agent."""
    if kind == "file":
        return "_filedir_hanse"
    if kind in _ASKED:
        return f"_ask_hanse {kind}"
    return f"_words_hanse '{kind}'"


def bash() -> str:
    """The script for bash."""
    lines = [
        "# bash completion for hanse; written by `hanse completion bash`.",
        '_words_hanse() { COMPREPLY=($(compgen -W "$1" -- "$cur")); }',
        '_filedir_hanse() { COMPREPLY=($(compgen -f -- "$cur")); compopt -o filenames; }',
        '_ask_hanse() { COMPREPLY=($(compgen -W "$(hanse -complete "$1" "$cur" '
        '2>/dev/null)" -- "$cur")); }',
        "_hanse() {",
        '  local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" name="" word',
        "  COMPREPLY=()",
        '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
        '    case "$word" in -*) ;; *)',
        '      case " $_hanse_names " in',
        '        *"|$name${name:+ }$word|"*) name="$name${name:+ }$word" ;;',
        "      esac ;;",
        "    esac",
        "  done",
        '  case "$name:$prev" in',
    ]
    prefixes = sorted({*_commands(), *GROUPS})
    for name, command in sorted(_commands().items()):
        lines += [
            f"    {'|'.join(_quoted(f'{name}:{one}') for one in _names(flag))}) "
            f"{_values(flag.complete)}; return ;;"
            for flag in flags_of(command)
            if flag.kind != "bool" and flag.complete
        ]
    lines += ["  esac", '  case "$cur" in -*) case "$name" in']
    for name, command in sorted(_commands().items()):
        flags = " ".join(one for flag in flags_of(command) for one in _names(flag))
        lines.append(f"    {_quoted(name)}) _words_hanse '{flags} -help'; return ;;")
    lines += [
        "    '') _words_hanse '-help -version -autocomplete-install'; return ;;",
        "  esac ;; esac",
        '  case "$name" in',
        f"    '') _words_hanse '{' '.join(words_after(()))}' ;;",
    ]
    for name in prefixes:
        if after := words_after(tuple(name.split(" "))):
            lines.append(f"    {_quoted(name)}) _words_hanse '{' '.join(after)}' ;;")
        elif (one := _commands().get(name)) is not None and one.complete:
            lines.append(f"    {_quoted(name)}) {_values(one.complete)} ;;")
    lines += [
        "  esac",
        "}",
        f"_hanse_names='|{'|'.join(prefixes)}|'",
        "complete -F _hanse hanse",
    ]
    return "\n".join(lines) + "\n"


def zsh() -> str:
    """The script for zsh: bash's, through zsh's own bridge."""
    return (
        (
            "# zsh completion for hanse; written by `hanse completion zsh`.\n"
            "autoload -U +X compinit && compinit\n"
            "autoload -U +X bashcompinit && bashcompinit\n"
        )
        + "\n".join(bash().splitlines()[1:])
        + "\n"
    )


def fish() -> str:
    """The script for fish."""
    lines = [
        "# fish completion for hanse; written by `hanse completion fish`.",
        "function __hanse_at",
        "  set -l words (string match -v -- '-*' (commandline -opc))",
        '  test "$words[2..]" = "$argv" ; or string match -q -- "$argv *" "$words[2..]"',
        "end",
        "function __hanse_next",
        "  set -l words (string match -v -- '-*' (commandline -opc))",
        '  test "$words[2..]" = "$argv"',
        "end",
        "complete -c hanse -f",
    ]
    for name in sorted({"", *GROUPS}):
        words = tuple(name.split(" ")) if name else ()
        for word in words_after(words):
            whole = f"{name} {word}".strip()
            about = _commands()[whole].summary if whole in _commands() else GROUPS.get(whole, "")
            lines.append(
                f"complete -c hanse -n '__hanse_next {name}' -a '{word}' -d {_quoted(about)}"
            )
    for name, command in sorted(_commands().items()):
        for flag in flags_of(command):
            needs = "" if flag.kind == "bool" else " -r"
            values = _fish_values(flag.complete) if flag.kind != "bool" else ""
            lines.append(
                f"complete -c hanse -n '__hanse_at {name}' -o {flag.name}{needs}{values} "
                f"-d {_quoted(flag.about)}"
            )
        if command.complete:
            lines.append(
                f"complete -c hanse -n '__hanse_at {name}'{_fish_values(command.complete)}"
            )
    return "\n".join(lines) + "\n"


def _fish_values(kind: str) -> str:
    if not kind:
        return ""
    if kind == "file":
        return " -F"
    if kind in _ASKED:
        return f" -a '(hanse -complete {kind} (commandline -ct) 2>/dev/null)'"
    return f" -a '{kind}'"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def answer(context: Context) -> int:
    """What `hanse -complete <kind> <text>` prints: ids that begin so, a line each."""
    kind, said = context.argument(0), context.argument(1)
    client = context.client
    found: tuple[str, ...] = ()
    if kind == "namespace":
        found = tuple(namespace.name for namespace in client.namespaces().value)
    else:
        names = {"alloc": "allocs", "job": "jobs", "node": "nodes", "eval": "evals"}
        which = names.get(kind, {"node_pool": "node_pools", "any": "all"}.get(kind, kind))
        matches = client.search(said, which).value.matches
        found = tuple(identifier for ids in matches.values() for identifier in ids)
    for identifier in found:
        context.out(identifier)
    return 0


def install(terminal: Terminal, *, undo: bool, home: Path | None = None) -> int:
    """Put completion into the shells' start files, or take it out again."""
    home = home or Path.home()
    done: list[Path] = []
    for shell, name in _START_FILES.items():
        file = home / name
        if not file.exists():
            continue
        before = file.read_text()
        rest = without_block(before)
        block = f"{_BEGIN}\nsource <(hanse completion {shell})\n{_END}\n"
        after = rest if undo else rest + ("\n" if rest and not rest.endswith("\n") else "") + block
        if after != before:
            file.write_text(after)
            done.append(file)
    script = home / _FISH_FILE
    if undo:
        if script.exists():
            script.unlink()
            done.append(script)
    elif (home / ".config" / "fish").is_dir():
        script.parent.mkdir(exist_ok=True)
        script.write_text(fish())
        done.append(script)
    verb = "removed from" if undo else "installed in"
    for file in done:
        terminal.out(f"Completion {verb} {file}")
    if not done:
        terminal.out("Nothing to do." if undo else "Nothing changed: it is there, or no shell is.")
    return 0


def without_block(text: str) -> str:
    """A start file without our lines. Pure."""
    lines = text.splitlines(keepends=True)
    kept: list[str] = []
    inside = False
    for line in lines:
        if line.strip() == _BEGIN:
            inside = True
        elif line.strip() == _END and inside:
            inside = False
        elif not inside:
            kept.append(line)
    return "".join(kept)
