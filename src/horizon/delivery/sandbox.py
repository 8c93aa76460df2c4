"""Jinja2 for mails: an allow-list of constructs, and bounds on output and time.

Time is bounded before a mail is rendered rather than measured while it is: there are at most
MAX_NODES constructs, each linear in a value of limited length (values.py), and a loop runs over
a given list only and never inside another, so its work is its constructs times the list's size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, nodes
from jinja2.exceptions import TemplateError as JinjaError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from horizon.delivery import quoted
from horizon.errors import TemplateError

MAX_OUTPUT_CHARS: Final = 1_000_000
MAX_DEPTH: Final = 20  # Python's own compiler refuses more than 20 nested blocks
MAX_NODES: Final = 2_000

_RESERVED: Final = frozenset({"self", "super", "loop", "caller", "varargs", "kwargs"})
_COMPARISONS: Final = frozenset({"eq", "ne", "lt", "lteq", "gt", "gteq"})
_SPOKEN: Final[Mapping[type[nodes.Node], str]] = {
    nodes.Call: "a call",
    nodes.Getitem: "square brackets",
    nodes.BinExpr: "arithmetic",
    nodes.Concat: "joining with ~",
    nodes.Test: "a test with 'is'",
}


def _constant(node: nodes.Node, *types: type) -> bool:
    return isinstance(node, nodes.Const) and type(node.value) in types


def _no_arguments(args: list[nodes.Expr]) -> bool:
    return not args


def _default_arguments(args: list[nodes.Expr]) -> bool:
    return (
        len(args) in (1, 2)
        and _constant(args[0], str, int, float)
        and all(_constant(arg, bool) for arg in args[1:])
    )


def _round_arguments(args: list[nodes.Expr]) -> bool:
    # A large or negative precision makes Python compute 10 ** precision: hours of one core.
    return not args or (len(args) == 1 and _constant(args[0], int) and 0 <= _value(args[0]) <= 6)


def _value(node: nodes.Expr) -> int:
    return int(node.as_const())


FILTERS: Final[Mapping[str, Callable[[list[nodes.Expr]], bool]]] = {
    "capitalize": _no_arguments,
    "default": _default_arguments,
    "int": _no_arguments,
    "length": _no_arguments,
    "lower": _no_arguments,
    "round": _round_arguments,
    "title": _no_arguments,
    "trim": _no_arguments,
    "upper": _no_arguments,
}


class MailEnvironment(ImmutableSandboxedEnvironment):
    """A sandbox that reaches nothing but the keys of plain dictionaries."""

    def __init__(
        self, *, autoescape: bool, finalize: Callable[[object], str] | None = None
    ) -> None:
        super().__init__(
            autoescape=autoescape, finalize=finalize, undefined=StrictUndefined,
            keep_trailing_newline=True,
        )  # fmt: skip
        self.filters = {name: self.filters[name] for name in FILTERS}
        self.globals.clear()
        self.tests.clear()

    def getattr(self, obj: Any, attribute: str) -> Any:
        """``obj[attribute]``; an attribute of a Python object is never read."""
        if type(obj) is dict and attribute in obj:
            return obj[attribute]
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """The same as ``getattr``."""
        return self.getattr(obj, argument)

    def is_safe_callable(self, obj: Any) -> bool:  # noqa: ARG002 - the sandbox's own signature
        """Nothing may be called."""
        return False


HTML: Final = MailEnvironment(autoescape=True)
TEXT: Final = MailEnvironment(autoescape=False)
# Parts as they travel: values are escaped and encoded, and so are the constants (compile_checked).
QUOTED_HTML: Final = MailEnvironment(autoescape=False, finalize=quoted.encode_html)
QUOTED_TEXT: Final = MailEnvironment(autoescape=False, finalize=quoted.encode_value)


@dataclass(frozen=True, slots=True)
class Outline:
    """What a template needs: its variables, and how many constructs loop over each list."""

    variables: frozenset[str]
    loops: Mapping[str, int]


@dataclass(slots=True)
class _Checker:
    """Walks a syntax tree and refuses whatever is not on the allow-list."""

    internal: frozenset[str]
    variables: set[str] = field(default_factory=set)
    loops: dict[str, int] = field(default_factory=dict)
    loop_variable: str | None = None
    count: int = 0
    depth: int = 0

    def visit(self, node: nodes.Node) -> None:
        """Checks ``node`` and all below it, or raises TemplateError."""
        self.count += 1
        self.depth += 1
        if self.depth > MAX_DEPTH or self.count > MAX_NODES:
            _refuse(node, "is where the template gets too long or too deep; make it simpler")
        visitor = _VISITORS.get(type(node))
        if visitor is None:
            _refuse_construct(node)
        visitor(self, node)
        self.depth -= 1

    def children(self, node: nodes.Node) -> None:
        for child in node.iter_child_nodes():
            self.visit(child)

    def const(self, node: nodes.Const) -> None:
        if not _constant(node, str, int, float, bool):
            _refuse(node, f"uses {node.value!r}; write a text, a number, true or false")

    def name(self, node: nodes.Name) -> None:
        if node.name != self.loop_variable and node.name not in self.internal:
            _check_name(node, node.name)
            self.variables.add(node.name)

    def filter(self, node: nodes.Filter) -> None:
        accepts = FILTERS.get(node.name)
        if accepts is None or node.node is None:
            _refuse(node, f"uses the filter '{node.name}'; use one of {', '.join(FILTERS)}")
        if node.kwargs or node.dyn_args or node.dyn_kwargs or not accepts(node.args):
            _refuse(
                node,
                f"gives '{node.name}' arguments it does not take; write default('text', true), "
                "round(0) to round(6), and the other filters without arguments",
            )
        self.visit(node.node)

    def compare(self, node: nodes.Compare) -> None:
        self.visit(node.expr)
        for operand in node.ops:
            if operand.op not in _COMPARISONS:
                _refuse(node, "compares with 'in'; use ==, !=, <, <=, > or >=")
            self.visit(operand.expr)

    def attribute(self, node: nodes.Getattr) -> None:
        if not (isinstance(node.node, nodes.Name) and node.node.name == self.loop_variable):
            _refuse(
                node,
                f"reads '.{node.attr}' of something other than the loop's own variable; "
                "pass it as a variable",
            )
        _check_name(node, node.attr)

    def loop(self, node: nodes.For) -> None:
        iterable, target = _loop_names(node)
        if self.loop_variable is not None:
            _refuse(node, "has a loop inside a loop; write them one after the other")
        self.visit(node.iter)
        before, self.loop_variable = self.count, target
        for child in node.body:
            self.visit(child)
        self.loop_variable = None
        self.loops[iterable] = self.loops.get(iterable, 0) + self.count - before + 1
        for child in node.else_:
            self.visit(child)


_VISITORS: Final[Mapping[type[nodes.Node], Callable[[_Checker, Any], None]]] = {
    nodes.And: _Checker.children,
    nodes.Compare: _Checker.compare,
    nodes.CondExpr: _Checker.children,
    nodes.Const: _Checker.const,
    nodes.Filter: _Checker.filter,
    nodes.For: _Checker.loop,
    nodes.Getattr: _Checker.attribute,
    nodes.If: _Checker.children,
    nodes.Name: _Checker.name,
    nodes.Not: _Checker.children,
    nodes.Or: _Checker.children,
    nodes.Output: _Checker.children,
    nodes.Template: _Checker.children,
    nodes.TemplateData: _Checker.children,
}


def _loop_names(node: nodes.For) -> tuple[str, str]:
    if not isinstance(node.iter, nodes.Name) or not isinstance(node.target, nodes.Name):
        _refuse(node, "has a loop over something other than a variable; write 'for item in items'")
    if node.test is not None or node.recursive:
        _refuse(node, "has a loop with 'if' or 'recursive'; put an if inside the loop")
    target = node.target.name
    _check_name(node, target)
    if target.endswith("_url"):
        # A link may be a variable in _url because such variables are checked before rendering;
        # a loop would smuggle any text under that name.
        _refuse(node, f"names a loop's variable '{target}'; names in _url are kept for links")
    return node.iter.name, target


def _check_name(node: nodes.Node, name: str) -> None:
    if name.startswith("_") or name in _RESERVED:
        _refuse(node, f"uses the reserved name '{name}'; choose another")


def _refuse_construct(node: nodes.Node) -> NoReturn:
    kinds = (words for kind, words in _SPOKEN.items() if isinstance(node, kind))
    construct = next(kinds, f"the construct {type(node).__name__}")
    _refuse(
        node,
        f"uses {construct}, which is not allowed; use variables, if, for and the filters "
        f"{', '.join(FILTERS)}",
    )


def _refuse(node: nodes.Node, why: str) -> NoReturn:
    raise TemplateError(f"line {node.lineno} {why}")


def check(source: str, *, internal: frozenset[str] = frozenset()) -> Outline:
    """What ``source`` needs; TemplateError if it uses anything that is not allowed."""
    return _checked(HTML, source, internal)[1]


def compile_checked(
    environment: MailEnvironment, source: str, *, internal: frozenset[str] = frozenset()
) -> Template:
    """Checks before compiling: Jinja2 computes constant expressions while it compiles."""
    tree, _ = _checked(environment, source, internal)
    if environment in (QUOTED_HTML, QUOTED_TEXT):
        for constant in tree.find_all(nodes.TemplateData):
            constant.data = quoted.encode(constant.data)
    try:
        return environment.from_string(tree)
    except (JinjaError, SyntaxError, RecursionError, MemoryError) as exc:
        raise TemplateError("the template is too large to compile; make it simpler") from exc


def _checked(
    environment: MailEnvironment, source: str, internal: frozenset[str]
) -> tuple[nodes.Template, Outline]:
    try:
        tree = environment.parse(source)
    except TemplateSyntaxError as exc:
        raise TemplateError(f"line {exc.lineno} is not valid: {exc.message}") from exc
    except (RecursionError, ValueError) as exc:
        raise TemplateError("an expression is too long; make it simpler") from exc
    checker = _Checker(internal)
    checker.visit(tree)
    return tree, Outline(frozenset(checker.variables), checker.loops)


def render_bounded(template: Template, values: Mapping[str, object]) -> str:
    """The output, at most MAX_OUTPUT_CHARS of it, or TemplateError."""
    parts: list[str] = []
    size = 0
    try:
        for part in template.root_render_func(template.new_context(dict(values), shared=True)):
            parts.append(part)
            size += len(part)
            if size > MAX_OUTPUT_CHARS:
                raise TemplateError(
                    f"the mail grew past {MAX_OUTPUT_CHARS} characters; pass shorter lists"
                )
    except JinjaError as exc:
        raise TemplateError(f"a value is missing: {exc.message}; pass it") from exc
    except (TypeError, ValueError, ArithmeticError) as exc:
        raise TemplateError(
            "a value is not of the kind that its filter or comparison takes; "
            "pass numbers where the template rounds or compares"
        ) from exc
    return "".join(parts)
