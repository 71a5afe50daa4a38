"""The table of commands, and all that comes out of it."""

import importlib
import inspect
import subprocess
from pathlib import Path

import pytest

from hanse.cli import completion
from hanse.cli import help as texts
from hanse.cli.command import Command
from hanse.cli.flags import parse
from hanse.cli.main import find
from hanse.cli.table import ALIASES, COMMANDS, GROUPS, NOT_YET, flags_of

REPO = Path(__file__).resolve().parents[3]
ALL = [pytest.param(command, id=command.name) for command in COMMANDS.values()]


@pytest.mark.parametrize("command", ALL)
def test_every_command_leads_to_a_function_that_takes_a_context(command: Command) -> None:
    module, _, name = command.run.partition(":")
    function = getattr(importlib.import_module(module), name)
    assert list(inspect.signature(function).parameters) == ["context"]


@pytest.mark.parametrize("command", ALL)
def test_every_command_says_what_it_does_and_shows_an_example(command: Command) -> None:
    text = texts.command_help(command)
    assert f"Usage: hanse {command.name} [options]" in text
    assert "EXAMPLE" in text
    assert all(len(line) <= 100 for line in text.splitlines())
    for flag in flags_of(command):
        assert f"  -{flag.name}" in text
        assert flag.about.endswith((".", ")"))


@pytest.mark.parametrize("command", ALL)
def test_no_command_has_two_flags_of_one_name(command: Command) -> None:
    names = [n for flag in flags_of(command) for n in (flag.name, flag.alias) if n]
    assert len(names) == len(set(names))
    assert all(flag.kind == "bool" or flag.value for flag in flags_of(command))
    assert not command.not_yet & set(names)


@pytest.mark.parametrize("command", ALL)
def test_every_example_is_a_command_line_that_parses(command: Command) -> None:
    shown = set()
    for line in command.example.splitlines():
        words = line.removeprefix("source <(").rstrip(")").split(" > ")[0].split(" ")
        assert words[0] == "hanse", line
        found, rest = find([word.strip("'") for word in words[1:]])
        assert found is not None, line
        parse(rest, flags_of(found), stop_at_argument=found.stop_at_argument)
        shown.add(found)
    assert command in shown


def test_aliases_and_later_commands_do_not_hide_commands() -> None:
    assert not set(ALIASES) & set(COMMANDS)
    assert not {name.replace(" ", "-") for name in COMMANDS} & NOT_YET
    assert not {name.replace("-", " ") for name in NOT_YET} & set(COMMANDS)


def test_every_group_of_commands_has_a_title() -> None:
    prefixes = {
        " ".join(name.split(" ")[:count])
        for name in COMMANDS
        for count in range(1, len(name.split(" ")))
    }
    assert prefixes == set(GROUPS)


def test_the_longest_name_wins() -> None:
    command, rest = find(["node", "pool", "list", "-json"])
    assert command is not None
    assert (command.name, rest) == ("node pool list", ["-json"])
    assert find(["run", "x"])[0] == COMMANDS["job run"]
    assert find(["job"])[0] is None


def test_words_that_are_no_command_get_a_suggestion() -> None:
    assert "hanse job status" in texts.unknown(["job", "statsu"])
    assert "hanse node" in texts.unknown(["nodes"])
    assert texts.unknown(["job", "status"]) == (
        "Flags come after the command: `hanse job status -flag=value`."
    )
    assert texts.unknown(["acl", "policy"]) == "`hanse acl` is not supported yet."
    assert texts.unknown(["job", "dispatch"]) == "`hanse job dispatch` is not supported yet."


def test_the_reference_is_up_to_date() -> None:
    written = (REPO / "docs" / "reference" / "cli.md").read_text()
    assert written == texts.reference(), "run scripts/gen_cli_reference"


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["j"], ["job"]),
        (["job", "st"], ["start", "status", "stop"]),
        (["node", "pool", ""], ["info", "jobs", "list", "nodes"]),
        (["job", "run", "-deta"], ["-detach"]),
        (["run", "-var"], ["-var", "-var-file"]),
        (["agent", "-log-level", "D"], ["DEBUG"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["eval", "list", "-status", "b"], ["blocked"]),
    ],
)
def test_bash_completes_commands_flags_and_values(words: list[str], offered: list[str]) -> None:
    quoted = " ".join(f"'{word}'" for word in ["hanse", *words])
    script = completion.bash() + (
        f"\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words)}; COMPREPLY=()\n"
        "_hanse; printf '%s\\n' \"${COMPREPLY[@]}\"\n"
    )
    done = subprocess.run(
        ["bash", "--norc"], input=script, capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout.split() == offered


def test_the_other_shells_scripts_name_every_command() -> None:
    assert "bashcompinit" in completion.zsh()
    for name in COMMANDS:
        assert f"__hanse_at {name}'" in completion.fish()


def test_start_files_lose_only_our_lines() -> None:
    ours = "# hanse completion: begin\nsource x\n# hanse completion: end\n"
    assert completion.without_block(f"a\n{ours}b\n") == "a\nb\n"
    assert completion.without_block("a\nb") == "a\nb"
