"""Job files: HCL2 text to API Job JSON, with every mistake reported at its place.

The text goes through `scanner`, `parser` and `expressions` to a tree (`syntax`); `variables` and
`evaluator` give its expressions values; `decoder` and the table in `fields` make the API's Job of
it; `canonical` fills in defaults, and `formatter` is `hanse fmt`. Nothing here trusts the text:
what it may cost is bounded in `limits`.

Importing this package is cheap; the work is imported when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hanse.jobspec.diagnostics import Diagnostic, JobspecError
    from hanse.jobspec.job import ParseResult

__all__ = [
    "Diagnostic",
    "JobspecError",
    "ParseResult",
    "canonicalize",
    "format_source",
    "parse_job",
]

_NOTHING: Mapping[str, str] = MappingProxyType({})
_HOMES = {
    "Diagnostic": "hanse.jobspec.diagnostics",
    "JobspecError": "hanse.jobspec.diagnostics",
    "ParseResult": "hanse.jobspec.job",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(name)
    from importlib import import_module  # noqa: PLC0415 - see above

    return getattr(import_module(_HOMES[name]), name)


def parse_job(  # noqa: PLR0913 - all but the source have defaults
    source: str | bytes,
    *,
    filename: str = "job.nomad.hcl",
    variables: Mapping[str, str] = _NOTHING,
    var_files: Sequence[tuple[str, str]] = (),
    environment: Mapping[str, str] = _NOTHING,
    strict: bool = True,
    base_dir: Path | None = None,
    allow_filesystem: bool = False,
) -> ParseResult:
    """A job file as the API's Job. A source that begins with a brace is HCL's JSON notation.

    `variables` are values from the command line; `var_files` are pairs of name and text;
    of `environment` only NOMAD_VAR_* and HANSE_VAR_* count. `strict` makes values for undeclared
    variables errors instead of warnings. `base_dir` is what file functions are relative to (the
    working folder by default); they fail unless `allow_filesystem`, which also says that the
    source is the user's own: it may use 20 s of CPU time instead of 1 s. CPU-bound all the
    same: a server calls this in a worker thread.

    Raises JobspecError with all that is wrong.
    """
    from hanse.jobspec.job import given_values, read_job  # noqa: PLC0415 - see above

    given = given_values(variables, var_files, environment, strict)
    return read_job(source, filename, given, base_dir, allow_filesystem)


def canonicalize(job: dict[str, object]) -> dict[str, object]:
    """A copy of an API Job with the defaults filled in that a client fills in before it registers.

    Accepts what Nomad's clients send: absent keys count as null.
    """
    from hanse.jobspec.canonical import canonical_job  # noqa: PLC0415 - see above

    return canonical_job(job)


def format_source(source: str, filename: str) -> str:
    """The source in canonical format, comments kept. Raises JobspecError if it is not valid HCL."""
    from hanse.jobspec.formatter import formatted  # noqa: PLC0415 - see above

    return formatted(source, filename)
