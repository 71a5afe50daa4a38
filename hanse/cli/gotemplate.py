"""`-t`: the part of Go's text/template that people use on API objects. Pure.

Known: fields (`.A.B`, `$.A`, `$x.A`), variables, `if`/`else if`/`else`, `range` with one or two
variables and `else`, `with`, pipes, comments, trimming (`{{-`, `-}}`), and the functions and, or,
not, eq, ne, lt, le, gt, ge, len, index, slice, print, printf, println, toJson, toPrettyJson, join,
upper, lower, and short. Anything else is an error that names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

_TOKEN = re.compile(
    r'\s*(?:(?P<text>"(?:[^"\\]|\\.)*"|`[^`]*`)|(?P<number>-?\d+(?:\.\d+)?)'
    r"|(?P<variable>\$\w*)|(?P<field>\.\w*)|(?P<word>\w+)|(?P<mark>:=|=|[|(),]))"
)
_ACTION = re.compile(r"\{\{(-\s)?(.*?)(\s-)?\}\}", re.S)
_VERB = re.compile(r"%[-+ #0]*\d*(?:\.\d+)?[vsdqtfgxT%]")
_DEPTH_MAX = 100


class TemplateError(Exception):
    """The template cannot be understood or does not fit the data."""


class Token(NamedTuple):
    """A word of an action."""

    kind: str
    text: str
    #: Whether it follows the token before without a space: `$x.Name`.
    glued: bool


class Node(NamedTuple):
    """Text, an action to print, or a block with two branches."""

    kind: str
    text: str = ""
    tokens: tuple[Token, ...] = ()
    body: tuple[Node, ...] = ()
    other: tuple[Node, ...] = ()


def render(template: str, data: Any) -> str:
    """The template with the data in it. Raises TemplateError."""
    nodes = _Parser(template).parse()
    return "".join(_Runner(data).run(nodes, data, {"$": data}))


def _tokens(text: str) -> tuple[Token, ...]:
    found: list[Token] = []
    position = 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match is None:
            raise TemplateError(f"unexpected {text[position:].strip()[:20]!r} in {text.strip()!r}")
        kind = match.lastgroup or ""
        found.append(Token(kind, match[kind], match.start(kind) == position and position > 0))
        position = match.end()
    return tuple(found)


class _Parser:
    def __init__(self, template: str) -> None:
        self._pieces = list(self._split(template))
        self._position = 0

    @staticmethod
    def _split(template: str) -> Iterator[tuple[str, str]]:
        position = 0
        trim = False
        for match in _ACTION.finditer(template):
            text = template[position : match.start()]
            text = text.lstrip() if trim else text
            yield "text", text.rstrip() if match[1] else text
            body = match[2].strip()
            if not body.startswith("/*"):
                yield "action", body
            position, trim = match.end(), bool(match[3])
        rest = template[position:]
        if "{{" in rest:
            raise TemplateError("an action is not closed: }} is missing")
        yield "text", rest.lstrip() if trim else rest

    def parse(self) -> tuple[Node, ...]:
        nodes, end = self._block(0)
        if end:
            raise TemplateError(f"unexpected {{{{{end}}}}}")
        return nodes

    def _block(self, depth: int) -> tuple[tuple[Node, ...], str]:
        """Nodes up to an `end` or `else`, and that word with what follows it."""
        if depth > _DEPTH_MAX:
            raise TemplateError("blocks are nested too deeply")
        nodes: list[Node] = []
        while self._position < len(self._pieces):
            kind, text = self._pieces[self._position]
            self._position += 1
            if kind == "text":
                nodes.append(Node("text", text))
                continue
            word, _, rest = text.partition(" ")
            if word in ("end", "else"):
                return tuple(nodes), text
            if word in ("if", "range", "with"):
                nodes.append(self._branches(word, rest, depth))
            elif word in ("define", "template", "block", "break", "continue"):
                raise TemplateError(f"{{{{{word}}}}} is not supported")
            else:
                nodes.append(Node("print", text, _tokens(text)))
        if depth:
            raise TemplateError("{{end}} is missing")
        return tuple(nodes), ""

    def _branches(self, word: str, condition: str, depth: int) -> Node:
        body, end = self._block(depth + 1)
        other: tuple[Node, ...] = ()
        if end.startswith("else "):
            again, _, rest = end.removeprefix("else ").strip().partition(" ")
            if again != "if" or word != "if":
                raise TemplateError(f"unexpected {{{{{end}}}}}")
            other = (self._branches("if", rest, depth + 1),)
        elif end == "else":
            other, end = self._block(depth + 1)
            if end != "end":
                raise TemplateError("{{else}} twice")
        return Node(word, condition, _tokens(condition), body, other)


class _Runner:
    def __init__(self, data: Any) -> None:
        self._data = data

    def run(self, nodes: Sequence[Node], dot: Any, variables: dict[str, Any]) -> Iterator[str]:
        for node in nodes:
            match node.kind:
                case "text":
                    yield node.text
                case "print":
                    yield from self._print(node, dot, variables)
                case "if" | "with":
                    inner = dict(variables)
                    value = self._assigned(node.tokens, dot, inner)
                    chosen = node.body if truth(value) else node.other
                    new_dot = value if node.kind == "with" and truth(value) else dot
                    yield from self.run(chosen, new_dot, inner)
                case _:
                    yield from self._range(node, dot, variables)

    def _print(self, node: Node, dot: Any, variables: dict[str, Any]) -> Iterator[str]:
        tokens = node.tokens
        if len(tokens) > 1 and tokens[0].kind == "variable" and tokens[1].text in (":=", "="):
            if tokens[1].text == "=" and tokens[0].text not in variables:
                raise TemplateError(f"undefined variable {tokens[0].text}")
            variables[tokens[0].text] = self._pipeline(tokens[2:], dot, variables)
            return
        yield shown(self._pipeline(tokens, dot, variables))

    def _assigned(self, tokens: tuple[Token, ...], dot: Any, variables: dict[str, Any]) -> Any:
        if len(tokens) > 1 and tokens[0].kind == "variable" and tokens[1].text == ":=":
            value = self._pipeline(tokens[2:], dot, variables)
            variables[tokens[0].text] = value
            return value
        return self._pipeline(tokens, dot, variables)

    def _range(self, node: Node, dot: Any, variables: dict[str, Any]) -> Iterator[str]:
        tokens, names = node.tokens, []
        marks = [at for at, token in enumerate(tokens) if token.text == ":="]
        if marks:
            names = [token.text for token in tokens[: marks[0]] if token.kind == "variable"]
            tokens = tokens[marks[0] + 1 :]
        value = self._pipeline(tokens, dot, variables)
        items: list[tuple[Any, Any]]
        if isinstance(value, Mapping):
            items = sorted(value.items())
        elif isinstance(value, list):
            items = list(enumerate(value))
        elif value is None:
            items = []
        else:
            raise TemplateError(f"range over {shown(value)!r}, which is no list or map")
        if not items:
            yield from self.run(node.other, dot, dict(variables))
        for key, item in items:
            inner = dict(variables)
            if len(names) == 1:
                inner[names[0]] = item
            elif len(names) == 2:
                inner[names[0]], inner[names[1]] = key, item
            yield from self.run(node.body, item, inner)

    def _pipeline(self, tokens: Sequence[Token], dot: Any, variables: dict[str, Any]) -> Any:
        stages: list[list[Token]] = [[]]
        depth = 0
        for token in tokens:
            depth += (token.text == "(" and token.kind == "mark") - (
                token.text == ")" and token.kind == "mark"
            )
            if token.kind == "mark" and token.text == "|" and depth == 0:
                stages.append([])
            else:
                stages[-1].append(token)
        piped: tuple[Any, ...] = ()
        for stage in stages:
            piped = (self._command(stage, dot, variables, piped),)
        return piped[0]

    def _command(
        self, tokens: list[Token], dot: Any, variables: dict[str, Any], piped: tuple[Any, ...]
    ) -> Any:
        if not tokens:
            raise TemplateError("an empty command")
        if tokens[0].kind == "word" and tokens[0].text not in _CONSTANTS:
            function = _FUNCTIONS.get(tokens[0].text)
            if function is None:
                raise TemplateError(f"function {tokens[0].text!r} is not defined")
            arguments = self._operands(tokens[1:], dot, variables)
            try:
                return function(*arguments, *piped)
            except (TypeError, ValueError, LookupError) as error:
                raise TemplateError(f"{tokens[0].text}: {error}") from error
        operands = self._operands(tokens, dot, variables)
        if len(operands) != 1 or piped:
            raise TemplateError(f"{tokens[0].text!r} is no function and takes no arguments")
        return operands[0]

    def _operands(self, tokens: Sequence[Token], dot: Any, variables: dict[str, Any]) -> list[Any]:
        values: list[Any] = []
        position = 0
        while position < len(tokens):
            token = tokens[position]
            position += 1
            match token.kind:
                case "field" if token.glued and values and token.text != ".":
                    values[-1] = field_of(values[-1], token.text[1:])
                case "field":
                    values.append(field_of(dot, token.text[1:]) if token.text != "." else dot)
                case "variable":
                    if token.text not in variables:
                        raise TemplateError(f"undefined variable {token.text}")
                    values.append(variables[token.text])
                case "text":
                    values.append(_unquoted(token.text))
                case "number":
                    values.append(float(token.text) if "." in token.text else int(token.text))
                case "word" if token.text in _CONSTANTS:
                    values.append(_CONSTANTS[token.text])
                case "word":
                    values.append(self._command([token], dot, variables, ()))
                case "mark" if token.text == "(":
                    end = _closing(tokens, position)
                    values.append(self._pipeline(tokens[position:end], dot, variables))
                    position = end + 1
                case _:
                    raise TemplateError(f"unexpected {token.text!r}")
        return values


def _closing(tokens: Sequence[Token], position: int) -> int:
    depth = 1
    for at in range(position, len(tokens)):
        if tokens[at].kind == "mark":
            depth += (tokens[at].text == "(") - (tokens[at].text == ")")
        if depth == 0:
            return at
    raise TemplateError(") is missing")


def _unquoted(text: str) -> str:
    if text.startswith("`"):
        return text[1:-1]
    try:
        return msgspec.json.decode(text, type=str)
    except msgspec.DecodeError as error:
        raise TemplateError(f"{text} is no text") from error


def field_of(value: Any, name: str) -> Any:
    """A field of an object; a missing one is an error if the object has others."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TemplateError(f"can't evaluate field {name}: {shown(value)!r} has no fields")
    if name not in value:
        from difflib import get_close_matches

        names = {str(key).lower(): str(key) for key in value}
        near = get_close_matches(name.lower(), names, n=1)
        hint = f" (did you mean .{names[near[0]]}?)" if near else ""
        raise TemplateError(f"can't evaluate field {name}{hint}")
    return value[name]


def truth(value: Any) -> bool:
    """Whether Go's templates take a value for true: neither zero nor empty."""
    return bool(value)


def shown(value: Any) -> str:
    """A value as Go prints it."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    if isinstance(value, list):
        return "[" + " ".join(shown(item) for item in value) + "]"
    if isinstance(value, Mapping):
        inner = " ".join(f"{key}:{shown(item)}" for key, item in sorted(value.items()))
        return f"map[{inner}]"
    return str(value)


def _printf(text: str, *values: Any) -> str:
    rest = list(values)

    def one(match: re.Match[str]) -> str:
        verb, letter = match[0], match[0][-1]
        if letter == "%":
            return "%"
        if not rest:
            return f"%!{letter}(MISSING)"
        value = rest.pop(0)
        if letter in "vst":
            return str(f"{verb[:-1]}s" % shown(value))
        if letter == "q":
            return str(f"{verb[:-1]}s" % _json(str(value)))
        if letter == "T":
            return type(value).__name__
        try:
            return str(verb % value)
        except TypeError:
            return f"%!{letter}({shown(value)})"

    return _VERB.sub(one, text)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list | str) and isinstance(key, int):
            if not 0 <= key < len(value):
                raise ValueError(f"index out of range: {key}")
            value = value[key]
        else:
            raise TypeError(f"can't index {shown(value)!r} with {key!r}")
    return value


def _slice(value: Any, start: int = 0, end: int | None = None) -> Any:
    if not isinstance(value, list | str):
        raise TypeError(f"can't slice {shown(value)!r}")
    if not 0 <= start <= (len(value) if end is None else end) <= len(value):
        raise ValueError("index out of range")
    return value[start:end]


def _len(value: Any) -> int:
    if value is None:
        return 0
    return len(value)


def _compare(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(left: Any, right: Any) -> bool:
        return test(left, right)

    return compare


def _and(*values: Any) -> Any:
    return next((value for value in values if not truth(value)), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if truth(value)), values[-1])


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


_CONSTANTS: dict[str, Any] = {"true": True, "false": False, "nil": None}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": _and,
    "or": _or,
    "not": lambda value: not truth(value),
    "eq": lambda left, *rights: any(left == right for right in rights),
    "ne": _compare(lambda left, right: bool(left != right)),
    "lt": _compare(lambda left, right: bool(left < right)),
    "le": _compare(lambda left, right: bool(left <= right)),
    "gt": _compare(lambda left, right: bool(left > right)),
    "ge": _compare(lambda left, right: bool(left >= right)),
    "len": _len,
    "index": _index,
    "slice": _slice,
    "print": lambda *values: "".join(shown(value) for value in values),
    "println": lambda *values: " ".join(shown(value) for value in values) + "\n",
    "printf": _printf,
    "toJson": _json,
    "toJSON": _json,
    "toPrettyJson": lambda value: msgspec.json.format(_json(value).encode(), indent=2).decode(),
    "join": lambda values, by: by.join(shown(value) for value in values),
    "upper": lambda text: text.upper(),
    "lower": lambda text: text.lower(),
    "short": lambda text: text[:8],
}
