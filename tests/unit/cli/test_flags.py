"""Flags as Go's programs take them."""

import pytest

from hanse.cli.flags import Flag, UsageError, parse

FLAGS = (
    Flag("detach", "", alias="d"),
    Flag("var", "", "texts", "k=v"),
    Flag("n", "", "int", "n"),
    Flag("deadline", "", "duration", "duration"),
    Flag("address", "", "text", "addr"),
)


@pytest.mark.parametrize(
    "words", [["-address", "x"], ["-address=x"], ["--address=x"], ["--address", "x"]]
)
def test_one_dash_or_two_and_a_space_or_an_equals_sign_mean_the_same(words: list[str]) -> None:
    flags, arguments = parse([*words, "job"], FLAGS)
    assert flags.text("address") == "x"
    assert arguments == ["job"]


def test_a_switch_takes_a_value_only_behind_an_equals_sign() -> None:
    flags, arguments = parse(["-detach", "false"], FLAGS)
    assert flags.on("detach")
    assert arguments == ["false"]
    assert not parse(["-detach=false"], FLAGS)[0].on("detach", default=True)
    assert parse(["-d=T"], FLAGS)[0].on("detach")


def test_flags_after_arguments_count_until_two_dashes() -> None:
    flags, arguments = parse(["job", "-detach", "--", "-n"], FLAGS)
    assert flags.on("detach")
    assert arguments == ["job", "-n"]


def test_flags_end_at_the_first_argument_where_another_program_follows() -> None:
    flags, arguments = parse(["-detach", "id", "ls", "-n", "-l"], FLAGS, stop_at_argument=True)
    assert flags.on("detach")
    assert arguments == ["id", "ls", "-n", "-l"]


def test_one_dash_alone_is_an_argument() -> None:
    assert parse(["-"], FLAGS)[1] == ["-"]


def test_values_may_begin_with_a_dash_and_hold_equals_signs() -> None:
    flags, _ = parse(["-address", "-x", "-var", "a=b=c", "-var=d="], FLAGS)
    assert flags.text("address") == "-x"
    assert flags.pairs("var") == {"a": "b=c", "d": ""}


def test_numbers_and_durations_are_read() -> None:
    flags, _ = parse(["-n", "-3", "-deadline", "1h30m"], FLAGS)
    assert flags.number("n") == -3
    assert flags.number("deadline") == 5400 * 10**9


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-detahc"], "not defined: -detahc (did you mean -detach?)"),
        (["-address"], "needs an argument: -address"),
        (["-n", "x"], "not a whole number"),
        (["-n=1_0"], "not a whole number"),
        (["-deadline", "5"], "invalid duration"),
        (["-detach=maybe"], "invalid boolean value"),
        (["-join", "x"], "not supported yet: -join"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_the_flag_named(
    words: list[str], said: str
) -> None:
    with pytest.raises(UsageError, match=r".*") as error:
        parse(words, FLAGS, not_yet={"join"})
    assert said in str(error.value)


def test_a_pair_needs_its_equals_sign() -> None:
    flags, _ = parse(["-var", "a"], FLAGS)
    with pytest.raises(UsageError, match="key=value"):
        flags.pairs("var")
