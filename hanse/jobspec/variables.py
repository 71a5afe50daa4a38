"""Input variables and locals: declared, given values from five places, checked, put in scope."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hanse.jobspec.budget import Exhausted
from hanse.jobspec.content import Reader, ScopedBlock, Shape
from hanse.jobspec.convert import CannotConvert, convert
from hanse.jobspec.diagnostics import Fault, Report, Source, Span, did_you_mean
from hanse.jobspec.evaluator import Scope, evaluate
from hanse.jobspec.hcljson import JsonBody, parse_json
from hanse.jobspec.limits import SOURCE_BYTES_MAX
from hanse.jobspec.parser import parse_body, parse_expression
from hanse.jobspec.syntax import Attribute, AttrStep, Body, Call, Expression
from hanse.jobspec.typeexpr import parse_type
from hanse.jobspec.values import (
    BOOL,
    NUMBER,
    STRING,
    Namespace,
    ObjectValue,
    Primitive,
    Type,
    Value,
    string,
    type_of,
)
from hanse.jobspec.walk import free_references

_VARIABLE = Shape(("type", "default", "description"), {"validation": 0})
_VALIDATION = Shape(("condition", "error_message"), {})
#: Later prefixes win.
ENVIRONMENT_PREFIXES = ("NOMAD_VAR_", "HANSE_VAR_")


@dataclass(slots=True)
class Variable:
    """One declaration with the value that won so far."""

    name: str
    source: Source
    span: Span
    #: None while neither a type nor a default says what it is.
    kind: Type | None = None
    has_value: bool = False
    value: Value = None
    #: A mistake with it was reported: what depends on it is not looked at.
    broken: bool = False
    validations: list[tuple[Attribute, Attribute]] = field(
        default_factory=list[tuple[Attribute, Attribute]]
    )

    @property
    def is_text(self) -> bool:
        """Whether values on the command line are taken as they are."""
        return self.kind is None or self.kind in (STRING, NUMBER)


@dataclass(slots=True)
class Given:
    """What the user gave besides the job file."""

    variables: Mapping[str, str]
    files: Sequence[tuple[str, str]]
    environment: Mapping[str, str]
    strict: bool


@dataclass(slots=True)
class Submission:
    """The values again, in the form in which they are stored beside the job's source."""

    flags: dict[str, str] = field(default_factory=dict[str, str])
    texts: list[str] = field(default_factory=list[str])


class Variables:
    """Collects declarations and values; every mistake goes to the report."""

    def __init__(self, reader: Reader, scope: Scope) -> None:
        self._reader = reader
        self._report = reader.report
        self._scope = scope
        self._constant = replace(scope, names={}, runtime_references=False, call=_no_calls)
        self.declared: dict[str, Variable] = {}
        self.submission = Submission()

    def declare(self, found: ScopedBlock) -> None:
        """Take up one `variable` block."""
        block = found.block
        source = block.body.source
        variable = self._new(block.labels[0], source, block.type_span, block.label_spans[0])
        if variable is None:
            return
        content = self._reader.content(block.body, found.scope, _VARIABLE)
        if "type" in content.attributes:
            try:
                variable.kind = parse_type(content.attributes["type"].value, any_allowed=False)
            except Fault as fault:
                self._break(variable, fault, source)
        default = content.attributes.get("default")
        if default is not None:
            self._default(variable, default, source)
        for validation in content.blocks["validation"]:
            self._validation(variable, validation)

    def declare_defaults(self, found: ScopedBlock) -> None:
        """Take up one `variables` block: names with defaults and no types."""
        body = found.block.body
        if isinstance(body, Body):
            for stray in body.blocks:
                self._report.add(
                    body.source,
                    Fault(
                        "Unsupported block type",
                        "A variables block holds arguments only.",
                        stray.type_span,
                    ),
                )
        for attribute in _attributes(body):
            span = attribute.name_span
            variable = self._new(attribute.name, body.source, span, span)
            if variable is not None:
                self._default(variable, attribute, body.source)

    def _new(self, name: str, source: Source, span: Span, name_span: Span) -> Variable | None:
        if name in self.declared:
            where = self.declared[name].source.where(self.declared[name].span[0])
            self._report.add(
                source,
                Fault("Duplicate variable", f'"{name}" is declared at {where} already.', span),
            )
            return None
        if not name.replace("-", "_").isidentifier():
            detail = f'"{name}" is not a name that can be referred to.'
            self._report.add(source, Fault("Invalid variable name", detail, name_span))
            return None
        self.declared[name] = Variable(name, source, span)
        return self.declared[name]

    def _break(self, variable: Variable, fault: Fault, source: Source) -> None:
        variable.broken = True
        self._report.add(source, fault)

    def _constant_value(self, node: Expression, source: Source) -> Value:
        return evaluate(node, replace(self._constant, source=source))

    def _default(self, variable: Variable, attribute: Attribute, source: Source) -> None:
        try:
            value = self._constant_value(attribute.value, source)
            if variable.kind is not None:
                value = convert(value, variable.kind)
            elif value is not None:
                variable.kind = type_of(value)
            variable.value, variable.has_value = value, True
        except Exhausted:
            raise
        except Fault as fault:
            self._break(variable, fault, source)
        except CannotConvert as problem:
            unfit = Fault(
                "Invalid default value for variable",
                f"The default does not fit the variable's type: {problem}.",
                attribute.value.span,
            )
            self._break(variable, unfit, source)

    def _validation(self, variable: Variable, found: ScopedBlock) -> None:
        body = found.block.body
        content = self._reader.content(body, found.scope, _VALIDATION)
        missing = [name for name in _VALIDATION.attributes if name not in content.attributes]
        for name in missing:
            detail = f'The argument "{name}" is required, but no definition was found.'
            self._report.add(body.source, Fault("Missing required argument", detail, body.span))
        if missing:
            return
        condition = content.attributes["condition"]
        fault = _stray_reference(variable.name, condition.value)
        if fault is not None:
            self._report.add(body.source, fault)
            return
        message = content.attributes["error_message"]
        try:
            text = self._constant_value(message.value, body.source)
        except Exhausted:
            raise
        except Fault as problem:
            self._report.add(body.source, problem)
            return
        if not isinstance(text, str) or not text.strip():
            blank = Fault(
                "Invalid validation error message",
                "The message is a sentence that tells the user what is wrong; it cannot be blank.",
                message.value.span,
            )
            self._report.add(body.source, blank)
            return
        variable.validations.append((condition, message))

    def assign(self, given: Given) -> None:
        """Values from outside, weakest first: environment, files, command line."""
        for prefix in ENVIRONMENT_PREFIXES:
            for key, text in given.environment.items():
                variable = self.declared.get(key.removeprefix(prefix))
                if variable is not None and key.startswith(prefix):
                    self._assign_text(variable, text, key)
        for name, text in given.files:
            self._assign_file(Source(name, text.removeprefix("\ufeff")), given.strict)
        for name, text in given.variables.items():
            variable = self.declared.get(name)
            if variable is not None:
                self._assign_text(variable, text, f"-var {name}")
                continue
            self.submission.flags[name] = text
            fault = Fault(
                "Undefined -var variable",
                f'"{name}" was given a value, but the job file does not declare it.',
                None,
                did_you_mean(name, self.declared) or f'declare it: variable "{name}" {{}}',
            )
            self._report.add(None, fault, severity="error" if given.strict else "warning")

    def _assign_text(self, variable: Variable, text: str, origin: str) -> None:
        simple = variable.kind is None or isinstance(variable.kind, Primitive)
        if simple:
            self.submission.flags[variable.name] = text
        else:
            self.submission.texts.append(f"{variable.name} = {text}\n")
        source = Source(f"<value for {origin}>", text)
        unreadable = _unreadable(text)
        if unreadable is not None:
            self._break(variable, unreadable, source)
            return
        if variable.is_text:
            self._set(variable, string(text), source, (0, len(text)), origin)
            return
        report = Report()
        node = parse_expression(source, report)
        if node is None:
            variable.broken = True
            self._report.found.extend(report.found)
            return
        try:
            value = self._constant_value(node, source)
        except Exhausted:
            raise
        except Fault as fault:
            self._break(variable, fault, source)
            return
        self._set(variable, value, source, node.span, origin)

    def _set(
        self, variable: Variable, value: Value, source: Source, span: Span, origin: str
    ) -> None:
        try:
            variable.value = value if variable.kind is None else convert(value, variable.kind)
            variable.has_value = True
        except CannotConvert as problem:
            summary = "Invalid value for variable"
            if origin.startswith("-var "):
                summary = "Invalid argument value for -var variable"
            fault = Fault(
                summary, f'The value of "{variable.name}" does not fit its type: {problem}.', span
            )
            self._break(variable, fault, source)

    def _assign_file(self, source: Source, strict: bool) -> None:
        unreadable = _unreadable(source.text)
        if unreadable is not None:
            self._report.add(source, unreadable)
            return
        self.submission.texts.append(file_as_hcl(source))
        body = read_body(source, self._report)
        if isinstance(body, Body):
            for block in body.blocks:
                fault = Fault(
                    "Unsupported block type",
                    "A file of variable values holds arguments only.",
                    block.type_span,
                )
                if block.type == "variable":
                    name = block.labels[0] if block.labels else "name"
                    fault = Fault(
                        "Variable declaration in a .var file",
                        "A file of variable values gives values to variables that the job file"
                        " declares. It cannot declare any.",
                        block.type_span,
                        f"move this block to the job file, or write {name} = …",
                    )
                self._report.add(source, fault)
        for attribute in _attributes(body, self._report):
            variable = self.declared.get(attribute.name)
            if variable is None:
                fault = Fault(
                    "Undefined variable",
                    f'"{attribute.name}" is given a value, but the job file does not declare it.',
                    attribute.name_span,
                    did_you_mean(attribute.name, self.declared)
                    or f'declare it: variable "{attribute.name}" {{}}',
                )
                severity = "error" if strict else "warning"
                self._report.add(
                    source, fault, severity="error" if severity == "error" else "warning"
                )
                continue
            try:
                value = self._constant_value(attribute.value, source)
            except Exhausted:
                raise
            except Fault as fault:
                self._break(variable, fault, source)
                continue
            self._set(variable, value, source, attribute.value.span, source.name)

    def settle(self) -> Scope:
        """Check what must hold, and the scope in which `var` is known."""
        for variable in self.declared.values():
            if variable.broken:
                continue
            if not variable.has_value:
                fault = Fault(
                    f'Unset variable "{variable.name}"',
                    "A variable must be given a value or have a default.",
                    variable.span,
                    f"-var {variable.name}=…, or {ENVIRONMENT_PREFIXES[-1]}{variable.name},"
                    " or a -var-file",
                )
                self._break(variable, fault, variable.source)
                continue
            self._validate(variable)
        values = Namespace()
        values.items.update({v.name: v.value for v in self.declared.values() if not v.broken})
        broken = frozenset(("var", v.name) for v in self.declared.values() if v.broken)
        return replace(self._scope, names={"var": values}, broken=broken)

    def _validate(self, variable: Variable) -> None:
        scope = replace(
            self._scope,
            names={"var": ObjectValue({variable.name: variable.value})},
            runtime_references=False,
            source=variable.source,
        )
        for condition, message in variable.validations:
            try:
                holds = convert(evaluate(condition.value, scope), BOOL)
                if holds is None:
                    raise CannotConvert("the condition is null")
            except Exhausted:
                raise
            except Fault as fault:
                self._break(variable, fault, variable.source)
                continue
            except CannotConvert as problem:
                bad = Fault(
                    "Invalid variable validation result",
                    f"A condition is true or false: {problem}.",
                    condition.value.span,
                )
                self._break(variable, bad, variable.source)
                continue
            if not holds:
                text = str(self._constant_value(message.value, variable.source))
                refused = Fault(
                    "Invalid value for variable",
                    f'{text}\n\nThis is what the validation of "{variable.name}" says.',
                    condition.value.span,
                )
                self._break(variable, refused, variable.source)


def _no_calls(scope: Scope, call: Call) -> Value:
    raise Fault("Function calls not allowed", "Functions may not be called here.", call.name_span)


def _unreadable(text: str) -> Fault | None:
    """Why a text from outside cannot be looked at, if so."""
    if len(text) > SOURCE_BYTES_MAX:
        detail = f"A value or a file of values may have {SOURCE_BYTES_MAX} characters."
        return Fault("Source too large", detail, (0, 0))
    try:
        text.encode()
    except UnicodeEncodeError as problem:
        detail = "A value must be UTF-8 text."
        return Fault("Invalid character encoding", detail, (problem.start, problem.end))
    return None


def _attributes(body: Body | JsonBody, report: Report | None = None) -> Iterable[Attribute]:
    try:
        return (body.attributes if isinstance(body, Body) else body.attributes()).values()
    except Fault as fault:
        if report is not None:
            report.add(body.source, fault, body.span)
        return ()


def read_body(source: Source, report: Report) -> Body | JsonBody:
    """A source in either notation; mistakes go to the report."""
    if not source.text.lstrip().startswith("{"):
        return parse_body(source, report)
    try:
        return parse_json(source)
    except Fault as fault:
        report.add(source, fault)
        return Body(source, (0, 0))


def file_as_hcl(source: Source) -> str:
    """A file of values in the native notation, whichever it is in."""
    text = source.text
    if not text.lstrip().startswith("{"):
        return text if text.endswith("\n") or not text else text + "\n"
    try:
        body = parse_json(source)
        attributes = body.attributes()
    except Fault:
        return ""
    return "".join(
        f"{name} = {text[node.value.span[0] : node.value.span[1]]}\n"
        for name, node in attributes.items()
    )


def _stray_reference(name: str, condition: Expression) -> Fault | None:
    """What is wrong with the references of a validation's condition."""
    used = False
    for reference in free_references(condition):
        first = reference.steps[0] if reference.steps else None
        if reference.root != "var" or not isinstance(first, AttrStep) or first.name != name:
            return Fault(
                "Invalid reference in variable validation",
                f"The condition may refer to var.{name} only.",
                reference.span,
            )
        used = True
    if used:
        return None
    return Fault(
        "Invalid variable validation condition",
        f"The condition must refer to var.{name}, or it would always give the same result.",
        condition.span,
    )


class Locals:
    """The arguments of all `locals` blocks."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._nodes: dict[str, tuple[Attribute, Source]] = {}

    def declare(self, found: ScopedBlock) -> None:
        """Take up one block. Of two equal names in two blocks the later one counts."""
        body = found.block.body
        if isinstance(body, Body):
            for stray in body.blocks:
                fault = Fault(
                    "Unsupported block type",
                    "A locals block holds arguments only.",
                    stray.type_span,
                    f"did you mean {stray.type} = {{ … }}?",
                )
                self._report.add(body.source, fault)
        for attribute in _attributes(body, self._report):
            self._nodes[attribute.name] = (attribute, body.source)

    def settle(self, scope: Scope) -> Scope:
        """Evaluate them in the order of their dependencies; the scope in which they are known."""
        values = Namespace()
        broken: set[tuple[str, str]] = set(scope.broken)
        settled = replace(scope, names={**scope.names, "local": values}, broken=broken)
        dependencies = {
            name: _dependencies(name, attribute.value, self._nodes)
            for name, (attribute, _) in self._nodes.items()
        }
        order, cyclic = _ordered(dependencies)
        for name in cyclic:
            attribute, source = self._nodes[name]
            fault = Fault(
                "Cycle in locals",
                f"local.{name} depends on itself: " + _cycle_text(name, dependencies) + ".",
                attribute.name_span,
            )
            self._report.add(source, fault)
            broken.add(("local", name))
        for name in order:
            attribute, source = self._nodes[name]
            try:
                value = evaluate(attribute.value, replace(settled, source=source))
                values.items[name] = value
            except Exhausted:
                raise
            except Fault as problem:
                self._report.add(source, problem)
                broken.add(("local", name))
        return settled


def _dependencies(name: str, node: Expression, known: Mapping[str, object]) -> list[str]:
    """The locals that an expression refers to; all the others, if it takes `local` as a whole."""
    found: dict[str, None] = {}
    for reference in free_references(node):
        if reference.root != "local":
            continue
        first = reference.steps[0] if reference.steps else None
        if isinstance(first, AttrStep):
            if first.name in known:
                found[first.name] = None
        else:
            found.update(dict.fromkeys(other for other in known if other != name))
    return list(found)


def _ordered(dependencies: Mapping[str, list[str]]) -> tuple[list[str], list[str]]:
    """Names with every one behind those it needs, and the names that are part of a cycle."""
    order: list[str] = []
    state: dict[str, int] = {}
    cyclic: dict[str, None] = {}
    for root in dependencies:
        if root in state:
            continue
        state[root] = 1
        trail: list[tuple[str, Iterator[str]]] = [(root, iter(dependencies[root]))]
        while trail:
            name, rest = trail[-1]
            step = next(rest, None)
            if step is None:
                trail.pop()
                state[name] = 2
                if name not in cyclic:
                    order.append(name)
            elif step not in state:
                state[step] = 1
                trail.append((step, iter(dependencies[step])))
            elif state[step] == 1:
                on_trail = [entry for entry, _ in trail]
                cyclic.update(dict.fromkeys(on_trail[on_trail.index(step) :]))
    return order, list(cyclic)


def _cycle_text(name: str, dependencies: Mapping[str, list[str]]) -> str:
    """The shortest way from a name back to itself."""
    ways: dict[str, list[str]] = {name: [name]}
    waiting = [name]
    for at in waiting:
        for step in dependencies[at]:
            if step == name:
                return " -> ".join([*ways[at], name])
            if step not in ways:
                ways[step] = [*ways[at], step]
                waiting.append(step)
    return name
