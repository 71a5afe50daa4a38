"""A job from a file: HCL evaluated here, or JSON of the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from hanse.cli.command import Context, Failed
from hanse.cli.text import bold, yellow
from hanse.errors import Invalid, TooLarge

#: For the answer to a URL to begin, and for each piece of it.
_FETCH_S = 30.0
#: The API's own limit for a body.
_FILE_BYTES_MAX = 16 * 1024 * 1024


class JobSource(NamedTuple):
    """A job, in the form the API takes, and where it came from."""

    job: dict[str, Any]
    #: What the servers keep beside the job, so that people can read its source later.
    submission: dict[str, Any]

    @property
    def id(self) -> str:
        """The job's id."""
        return str(self.job.get("ID") or "")

    @property
    def region(self) -> str:
        """The region the file names, if any."""
        return str(self.job.get("Region") or "")

    @property
    def namespace(self) -> str:
        """The namespace the file names, if any."""
        return str(self.job.get("Namespace") or "")


def read_job(context: Context) -> JobSource:
    """Read the job file that the first argument names; '-' is standard input.

    Warnings go to standard error. Raises Failed with all that is wrong.
    """
    path = context.arguments[0]
    text = _read(context, path)
    if context.flags.on("json"):
        return _from_json(path, text)
    return _from_hcl(context, path, text)


def use_region_of(context: Context, source: JobSource) -> None:
    """From here on, talk to the region and namespace that the job names."""
    context.use(context.client_for(region=source.region, namespace=source.namespace))


def _read(context: Context, path: str) -> str:
    """The text of a file; what is no UTF-8 stays, as surrogates, for the parser to report."""
    if path == "-":
        stream = context.terminal.in_stream
        text: str = stream.read(_FILE_BYTES_MAX + 1)
        _check_size("standard input", len(text))
        return text
    if path.startswith(("http://", "https://")):
        return _fetch(path)
    file = Path(path)
    try:
        if file.is_file():
            _check_size(path, file.stat().st_size)
        data = file.read_bytes()
    except OSError as error:
        raise Failed(f"Error reading {path}: {error.strerror}") from error
    return data.decode(errors="surrogateescape")


def _fetch(url: str) -> str:
    from urllib.error import URLError
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=_FETCH_S) as answer:
            data: bytes = answer.read(_FILE_BYTES_MAX + 1)
    except (URLError, OSError, ValueError) as error:
        detail = error.reason if isinstance(error, URLError) else error
        raise Failed(f"Error reading {url}: {detail}") from error
    _check_size(url, len(data))
    return data.decode(errors="surrogateescape")


def _check_size(what: str, size: int) -> None:
    if size > _FILE_BYTES_MAX:
        raise Failed(str(TooLarge(what, size=size, size_max=_FILE_BYTES_MAX)))


def _from_json(path: str, text: str) -> JobSource:
    try:
        raw = msgspec.json.decode(text.encode(errors="surrogateescape"))
    except (msgspec.DecodeError, RecursionError) as error:
        raise Failed(f"Error reading {path}: not valid JSON: {error}") from error
    inner = raw.get("Job", raw.get("job", raw)) if isinstance(raw, dict) else None
    if not isinstance(inner, dict):
        raise Failed(f"Error reading {path}: not a job: a JSON object is needed")
    job = {("ID" if key.lower() == "id" else key): value for key, value in inner.items()}
    return JobSource(job, {"Source": text, "Format": "json"})


def _from_hcl(context: Context, path: str, text: str) -> JobSource:
    from hanse.jobspec import JobspecError, parse_job

    flags = context.flags
    try:
        parsed = parse_job(
            text.encode(errors="surrogateescape"),
            filename="<stdin>" if path == "-" else path,
            variables=flags.pairs("var"),
            var_files=[(name, _read(context, name)) for name in flags.texts("var-file")],
            environment=context.environment,
            strict=flags.on("hcl2-strict", default=True),
            base_dir=Path() if path == "-" or "://" in path else Path(path).parent,
            allow_filesystem=True,
        )
    except JobspecError as error:
        color = context.terminal.color_err
        shown = "\n\n".join(found.render(color) for found in error.diagnostics)
        context.terminal.err_stream.write(shown + "\n")
        raise Failed("") from error
    except Invalid as error:
        raise Failed(str(error)) from error
    for warning in parsed.diagnostics:
        context.terminal.err_stream.write(warning.render(context.terminal.color_err) + "\n\n")
    submission = {
        "Source": text,
        "Format": "hcl2",
        "VariableFlags": dict(parsed.variable_flags),
        "Variables": parsed.variables_text,
    }
    return JobSource(parsed.job, submission)


def show_warnings(context: Context, warnings: str) -> None:
    """What the servers found odd about a job."""
    if warnings:
        context.out(f"{bold(yellow('Job Warnings:'))}\n{yellow(warnings)}\n")
