"""The syntax tree. Every node knows the span of characters that it was read from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from hanse.jobspec.diagnostics import Source, Span
from hanse.jobspec.values import Value

if TYPE_CHECKING:
    from hanse.jobspec.hcljson import JsonBody


@dataclass(slots=True)
class Literal:
    """A number, true, false, null, or a piece of text without sequences."""

    value: Value
    span: Span


@dataclass(slots=True)
class Template:
    """Text with sequences in it; evaluates to a string."""

    parts: list[Expression]
    span: Span
    #: `<<E … E` instead of quotes.
    heredoc: bool = False


@dataclass(slots=True)
class Interpolation:
    """`${…}` inside a template."""

    inner: Expression
    span: Span


@dataclass(slots=True)
class Wrapped:
    """A quoted template that is one interpolation and nothing else: its value keeps its type."""

    inner: Expression
    span: Span
    #: From the dollar sign to the brace.
    sequence: Span


@dataclass(slots=True)
class TemplateIf:
    """`%{ if }…%{ else }…%{ endif }`."""

    condition: Expression
    then: list[Expression]
    otherwise: list[Expression]
    span: Span


@dataclass(slots=True)
class TemplateFor:
    """`%{ for }…%{ endfor }`."""

    key_name: str | None
    value_name: str
    collection: Expression
    body: list[Expression]
    span: Span


@dataclass(slots=True)
class AttrStep:
    """`.name`."""

    name: str
    span: Span


@dataclass(slots=True)
class IndexStep:
    """`[key]`, or the old `.0`."""

    key: Expression
    span: Span


@dataclass(slots=True)
class SplatStep:
    """`[*]` or `.*` with what follows and is done to every element."""

    steps: list[AttrStep | IndexStep | SplatStep]
    span: Span


Step: TypeAlias = AttrStep | IndexStep | SplatStep


@dataclass(slots=True)
class Reference:
    """A name followed by constant steps only."""

    root: str
    root_span: Span
    steps: list[AttrStep | IndexStep]
    span: Span


@dataclass(slots=True)
class Access:
    """Steps taken from a value that is not a plain reference, or that need evaluation."""

    source: Expression
    steps: list[Step]
    span: Span


@dataclass(slots=True)
class Call:
    """A function call; `spread` if the last argument ends in `...`."""

    name: str
    arguments: list[Expression]
    spread: bool
    span: Span
    name_span: Span
    #: The closing parenthesis.
    close_span: Span


@dataclass(slots=True)
class Unary:
    """`-x` or `!x`."""

    operator: str
    operand: Expression
    span: Span


@dataclass(slots=True)
class Binary:
    """Two operands and an operator."""

    operator: str
    left: Expression
    right: Expression
    span: Span


@dataclass(slots=True)
class Conditional:
    """`condition ? then : otherwise`."""

    condition: Expression
    then: Expression
    otherwise: Expression
    span: Span


@dataclass(slots=True)
class TupleCons:
    """`[a, b]`."""

    items: list[Expression]
    span: Span


@dataclass(slots=True)
class ObjectCons:
    """`{ key = value }`."""

    items: list[tuple[Expression, Expression]]
    span: Span


@dataclass(slots=True)
class ForExpr:
    """`[for …]`, or `{for …}` when there is a key."""

    key_name: str | None
    value_name: str
    collection: Expression
    key: Expression | None
    value: Expression
    condition: Expression | None
    group: bool
    span: Span


@dataclass(slots=True)
class Parens:
    """`(x)`."""

    inner: Expression
    span: Span


@dataclass(slots=True)
class Embedded:
    """An expression with a source of its own: a string of a JSON file, read as a template."""

    source: Source
    inner: Expression
    span: Span


Expression: TypeAlias = (
    Literal
    | Embedded
    | Template
    | Interpolation
    | Wrapped
    | TemplateIf
    | TemplateFor
    | Reference
    | Access
    | Call
    | Unary
    | Binary
    | Conditional
    | TupleCons
    | ObjectCons
    | ForExpr
    | Parens
)


@dataclass(slots=True)
class Attribute:
    """`name = value` in a body."""

    name: str
    name_span: Span
    value: Expression


@dataclass(slots=True)
class Block:
    """`type "label" { … }` in a body."""

    type: str
    type_span: Span
    labels: list[str]
    label_spans: list[Span]
    body: Body | JsonBody
    #: The opening brace.
    open_span: Span


@dataclass(slots=True)
class Body:
    """Attributes by name and blocks in order."""

    source: Source
    #: Where a missing item is reported: the opening brace, or the start of the file.
    span: Span
    attributes: dict[str, Attribute] = field(default_factory=dict[str, Attribute])
    blocks: list[Block] = field(default_factory=list[Block])


def _is_constant(key: Expression) -> bool:
    match key:
        case Literal() | Template(parts=[] | [Literal()]):
            return True
        case _:
            return False


def start_of(expression: Expression) -> Span:
    """Where an expression is pointed at in messages: its first operand, inside any quote."""
    while True:
        match expression:
            case Template(parts=[first, *_]):
                expression = first
            case Interpolation(inner=inner):
                expression = inner
            case Binary(left=left):
                expression = left
            case Conditional(condition=condition):
                expression = condition
            case Access(steps=[*_, SplatStep(span=span)]):
                return span
            case Access(steps=[*_, IndexStep(key=key, span=span)]) if not _is_constant(key):
                return span
            case Access(source=source):
                expression = source
            case Reference(root_span=span) | Call(name_span=span):
                return span
            case _:
                return expression.span
