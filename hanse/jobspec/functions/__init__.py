"""The 83 functions of job files, and how one of them is called.

They live in one module per subject, imported when a job file first calls one of its functions.
"""

from __future__ import annotations

from importlib import import_module

from hanse.jobspec.budget import Exhausted
from hanse.jobspec.convert import CannotConvert, convert
from hanse.jobspec.diagnostics import Fault, did_you_mean
from hanse.jobspec.evaluator import Scope, evaluate
from hanse.jobspec.functions.base import BadArgument, Function, FunctionFailed, Parameter
from hanse.jobspec.syntax import Call, Expression, start_of
from hanse.jobspec.values import DYNAMIC, Mapped, Sequence, TupleValue, Value, name_of

_SUBJECTS = {
    "numeric": "abs ceil floor log max min parseint pow range signum",
    "strings": "chomp indent join lower regex_replace replace reverse split strlen strrev substr"
    " title trim trimprefix trimspace trimsuffix upper",
    "formats": "format formatlist",
    "collections": "chunklist coalesce coalescelist compact concat contains distinct element"
    " flatten index keys length lookup merge slice sort values zipmap",
    "sets": "setintersection setproduct setunion",
    "encoding": "base64decode base64encode csvdecode jsondecode jsonencode urlencode",
    "yaml": "yamldecode yamlencode",
    "crypto": "bcrypt md5 rsadecrypt sha1 sha256 sha512 uuidv4 uuidv5",
    "networks": "cidrhost cidrnetmask cidrsubnet cidrsubnets",
    "dates": "formatdate timeadd",
    "files": "abspath basename dirname file filebase64 fileexists fileset pathexpand",
}
_HOMES = {name: subject for subject, names in _SUBJECTS.items() for name in names.split()}
_LAZY = ("can", "convert", "try")

#: Every function's name, sorted.
NAMES: tuple[str, ...] = tuple(sorted([*_HOMES, *_LAZY]))


def call_function(scope: Scope, call: Call) -> Value:
    """The value of a call. Raises Fault at the call, its name or the argument at fault."""
    if call.name in _LAZY:
        return _call_lazily(scope, call)
    home = _HOMES.get(call.name)
    if home is None:
        raise Fault(
            "Call to unknown function",
            f'There is no function named "{call.name}".',
            call.name_span,
            did_you_mean(call.name, NAMES),
        )
    function: Function = import_module(f"hanse.jobspec.functions.{home}").FUNCTIONS[call.name]
    nodes, converted = _converted(scope, call, function)
    scope.budget.charge(sum(_weight(value) for value in converted))
    try:
        result = function.run(scope, *converted)
    except BadArgument as problem:
        node = nodes[min(problem.position, len(nodes) - 1)] if nodes else call
        name = _parameter(function, problem.position).name
        raise _invalid(name, str(problem), node) from None
    except FunctionFailed as problem:
        raise Fault(
            "Error in function call",
            f'Call to function "{call.name}" failed: {problem}.',
            call.span,
        ) from None
    scope.budget.charge(_weight(result))
    return result


def _converted(
    scope: Scope, call: Call, function: Function
) -> tuple[list[Expression], list[Value]]:
    """The arguments as the function wants them, and the expression that each came from."""
    nodes = call.arguments
    if not call.spread:
        _check_count(call, function, nodes, len(nodes))
        return nodes, [
            _argument(evaluate(node, scope), _parameter(function, i), node)
            for i, node in enumerate(nodes)
        ]
    nodes, values = _arguments(scope, call)
    _check_count(call, function, nodes, len(values))
    return nodes, [
        _argument(value, _parameter(function, i), nodes[i]) for i, value in enumerate(values)
    ]


def _weight(value: Value) -> int:
    if isinstance(value, (Sequence, Mapped)):
        return value.weight
    return 1 + len(value) // 64 if isinstance(value, str) else 1


def _arguments(scope: Scope, call: Call) -> tuple[list[Expression], list[Value]]:
    values = [evaluate(node, scope) for node in call.arguments]
    nodes = list(call.arguments)
    if not call.spread:
        return nodes, values
    last = values.pop()
    if not isinstance(last, Sequence):
        raise Fault(
            "Invalid expanding argument value",
            f"Only a list, set or tuple can be spread by three dots, not a {name_of(last)}.",
            start_of(nodes[-1]),
        )
    nodes = nodes[:-1] + [nodes[-1]] * len(last.items)
    return nodes, [*values, *last.items]


def _check_count(call: Call, function: Function, nodes: list[Expression], count: int) -> None:
    wanted = len(function.parameters)
    if count < wanted:
        missing = function.parameters[count].name
        least = "at least " if function.rest else ""
        raise Fault(
            "Not enough function arguments",
            f'Function "{call.name}" expects {least}{wanted} argument(s).'
            f' Missing value for "{missing}".',
            call.close_span,
        )
    if count > wanted and function.rest is None:
        raise Fault(
            "Too many function arguments",
            f'Function "{call.name}" expects only {wanted} argument(s).',
            start_of(nodes[wanted]),
        )


def _parameter(function: Function, position: int) -> Parameter:
    if position < len(function.parameters):
        return function.parameters[position]
    assert function.rest is not None
    return function.rest


def _argument(value: Value, parameter: Parameter, node: Expression) -> Value:
    if value is None:
        if parameter.null_allowed:
            return None
        raise _invalid(parameter.name, "argument must not be null", node)
    if parameter.kind == DYNAMIC:
        return value
    try:
        return convert(value, parameter.kind)
    except CannotConvert as problem:
        raise _invalid(parameter.name, str(problem), node) from None


def _invalid(name: str, problem: str, node: Expression) -> Fault:
    return Fault(
        "Invalid function argument",
        f'Invalid value for "{name}" parameter: {problem}.',
        start_of(node),
    )


def _call_lazily(scope: Scope, call: Call) -> Value:
    """`try`, `can` and `convert` see their arguments before these have values."""
    if call.name == "convert":
        return _convert(scope, call)
    if call.name == "can":
        _expect(call, 1, ("expression",))
        try:
            evaluate(call.arguments[0], scope)
        except Exhausted:
            raise
        except Fault:
            return False
        return True
    if not call.arguments:
        raise Fault(
            "Error in function call",
            'Call to function "try" failed: at least one argument is required.',
            call.span,
        )
    problems: list[str] = []
    for node in _spread_nodes(scope, call):
        try:
            return evaluate(node, scope)
        except Exhausted:
            raise
        except Fault as fault:
            problems.append(fault.detail)
    raise Fault(
        "Error in function call",
        'Call to function "try" failed: no expression succeeded: ' + " ".join(problems),
        call.span,
    )


def _spread_nodes(scope: Scope, call: Call) -> list[Expression]:
    from hanse.jobspec.syntax import Literal  # noqa: PLC0415 - seldom needed

    if not call.spread:
        return call.arguments
    nodes, values = _arguments(scope, call)
    return [Literal(v, n.span) for v, n in zip(values, nodes, strict=True)]


def _expect(call: Call, count: int, names: tuple[str, ...]) -> None:
    def nothing(_scope: Scope, *_arguments: Value) -> Value:
        return TupleValue(())

    shape = Function(nothing, tuple(Parameter(name, DYNAMIC) for name in names))
    _check_count(call, shape, call.arguments, len(call.arguments))
    assert len(call.arguments) == count


def _convert(scope: Scope, call: Call) -> Value:
    from hanse.jobspec.typeexpr import parse_type  # noqa: PLC0415 - seldom needed

    _expect(call, 2, ("value", "type"))
    value = evaluate(call.arguments[0], scope)
    kind = parse_type(call.arguments[1], optional_allowed=True)
    try:
        return convert(value, kind)
    except CannotConvert as problem:
        raise _invalid("value", str(problem), call.arguments[0]) from None
