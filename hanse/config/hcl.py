"""Configuration files to plain items with their places, read with python-hcl2.

Agent configuration needs no evaluation and is written in the lenient HCL1 style, so the library's
syntax tree is all we take: attributes, blocks with labels, literals. A file whose name ends in
`.json` is read as JSON, where an object may stand for a block.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hanse.errors import Invalid

Value = str | int | float | bool | None | list["Value"] | dict[str, "Value"]

SOURCE_BYTES_MAX = 1024 * 1024
NESTING_MAX = 40

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Item:
    """An attribute (`value`) or a block (`body`) and where it stands."""

    name: str
    file: str
    line: int
    labels: tuple[str, ...] = ()
    value: Value = None
    body: tuple[Item, ...] | None = None

    @property
    def where(self) -> str:
        """`file:line`, or the file alone where lines are not known."""
        return f"{self.file}:{self.line}" if self.line else self.file


def read_file(path: Path) -> tuple[Item, ...]:
    """Read one file. Raises Invalid with file and line."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Invalid(str(path), f"cannot be read: {error.strerror}") from error
    if len(data) > SOURCE_BYTES_MAX:
        raise Invalid(str(path), f"is larger than {SOURCE_BYTES_MAX} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Invalid(str(path), f"is not UTF-8 text (byte {error.start})") from error
    return read_text(text, str(path))


def read_text(text: str, file: str) -> tuple[Item, ...]:
    """Read the text of one file. Raises Invalid with file and line."""
    if file.endswith(".json") or text.lstrip().startswith("{"):
        return _read_json(text, file)
    return _read_hcl(text, file)


def _read_json(text: str, file: str) -> tuple[Item, ...]:
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        raise Invalid(f"{file}:{error.lineno}:{error.colno}", error.msg) from error
    except RecursionError as error:
        raise Invalid(file, "is nested too deeply") from error
    if not isinstance(raw, dict):
        raise Invalid(file, "must hold one object")
    items = cast("dict[str, Value]", raw)
    return tuple(Item(key, file, 0, value=value) for key, value in items.items())


def _read_hcl(text: str, file: str) -> tuple[Item, ...]:
    # Slow to import, and most commands read no configuration file.
    import hcl2  # noqa: PLC0415
    from lark.exceptions import UnexpectedInput  # noqa: PLC0415

    if max(_depths(text), default=0) > NESTING_MAX:
        raise Invalid(file, f"is nested deeper than {NESTING_MAX} levels")
    try:
        tree = hcl2.parses_to_tree(text)
    except UnexpectedInput as error:
        line = error.line if error.line > 0 else text.count("\n") + 1
        raise Invalid(f"{file}:{line}", _syntax_problem(error, text)) from error
    return _body(tree.children[0], file)


def _depths(text: str) -> list[int]:
    depth, found = 0, [0]
    for char in text:
        if char in "{[(":
            depth += 1
            found.append(depth)
        elif char in "}])":
            depth -= 1
    return found


def _syntax_problem(error: Any, text: str) -> str:
    token = getattr(error, "token", None)
    if token is not None and token.type == "$END":
        return "the file ends inside a block or a value"
    lines = text.splitlines()
    line = lines[error.line - 1].strip() if 0 < error.line <= len(lines) else ""
    return f"syntax error at column {error.column}: {line[:80]!r}"


def _body(tree: Any, file: str) -> tuple[Item, ...]:
    items: list[Item] = []
    for node in tree.children:
        if node is None or not hasattr(node, "data"):
            continue
        if node.data == "attribute":
            name, value = node.children[0], node.children[-1]
            line = node.meta.line
            items.append(Item(_token(name), file, line, value=_value(value, file, line)))
        elif node.data == "block":
            items.append(_block(node, file))
    return tuple(items)


def _block(node: Any, file: str) -> Item:
    parts = [part for part in node.children if hasattr(part, "data")]
    labels = tuple(
        _string(part, file, node.meta.line) if part.data == "string" else _token(part)
        for part in parts[1:]
        if part.data in ("string", "identifier")
    )
    body = next((part for part in parts if part.data == "body"), None)
    items = _body(body, file) if body is not None else ()
    return Item(_token(parts[0]), file, node.meta.line, labels=labels, body=items)


def _token(node: Any) -> str:
    return str(node.children[0])


def _value(node: Any, file: str, line: int) -> Value:
    kind = node.data if hasattr(node, "data") else ""
    parts = [part for part in node.children if hasattr(part, "data")] if kind else []
    if kind == "expr_term" and len(parts) == 1:
        return _value(parts[0], file, line)
    if kind == "string":
        return _string(node, file, line)
    if kind in ("int_lit", "float_lit"):
        text = _token(node)
        return int(text) if kind == "int_lit" else float(text)
    if kind == "literal_value":
        return {"true": True, "false": False, "null": None}.get(_token(node), _token(node))
    if kind == "tuple":
        return [_value(part, file, line) for part in parts if part.data != "new_line_or_comment"]
    if kind == "object":
        elements = [part for part in parts if part.data == "object_elem"]
        return dict(_element(element, file, line) for element in elements)
    if kind == "unary_op":
        value = _value(parts[-1], file, line)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return -value
    if kind in ("heredoc_template", "heredoc_template_trim"):
        lines = _token(node).split("\n")[1:]
        while lines and not lines[-1].strip():
            lines.pop()
        return "".join(f"{text}\n" for text in lines[:-1])
    raise Invalid(f"{file}:{line}", "only plain values are allowed here, no expressions")


def _element(node: Any, file: str, line: int) -> tuple[str, Value]:
    key, value = (part for part in node.children if hasattr(part, "data"))
    inner = key.children[0]
    if hasattr(inner, "data") and inner.data == "expr_term":
        inner = inner.children[0]
    name = _token(inner) if inner.data == "identifier" else str(_value(inner, file, line))
    return name, _value(value, file, line)


def _string(node: Any, file: str, line: int) -> str:
    text = ""
    for part in node.children:
        if not hasattr(part, "data"):
            continue
        inner = part.children[0]
        if hasattr(inner, "data"):
            raise Invalid(f"{file}:{line}", "a template (${...}) has no meaning here")
        text += str(inner)
    return _unescaped(text.replace("$${", "${").replace("%%{", "%{"))


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    done, position = "", 0
    while position < len(text):
        char = text[position]
        if char == "\\" and position + 1 < len(text):
            position += 1
            char = _ESCAPES.get(text[position], "\\" + text[position])
        done += char
        position += 1
    return done
