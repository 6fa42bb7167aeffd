"""Go templates, as far as `--format` and `inspect -f` are used with Docker.

    template  = { text | "{{" action "}}" }
    action    = "range" pipeline | "if" pipeline | "else" ["if" pipeline] | "with" pipeline | "end"
              | "$name" (":=" | "=") pipeline | pipeline
    pipeline  = command { "|" command }         the value before is the last argument of the next
    command   = operand { operand }             a function with its arguments, or one operand
    operand   = "." | ".A.B" | "$" | "$name.A" | "text" | `text` | 12 | true | nil | "(" pipeline ")" [".A"]

Values are what JSON gives; they print as Go prints them: `true`, `[a b]`, `map[k:v]`, `<no value>`.
(https://pkg.go.dev/text/template; Docker's own functions: json, split, join, title, lower, upper, pad,
truncate, println, table.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from cutaway.cli.failures import CommandError

_ACTION = re.compile(
    r"\{\{(-\s)?\s*(/\*.*?\*/|(?:\"(?:\\.|[^\"\\])*\"|`[^`]*`|[^\"`])*?)\s*(\s-)?\}\}", re.DOTALL
)
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:\\.|[^"\\])*"|`[^`]*`)|(?P<number>-?\d+(?:\.\d+)?)(?![\w.])"""
    r"""|(?P<path>\$?\w*(?:\.\w+)+|\$\w*|\.)|(?P<word>\w+)|(?P<mark>:=|=|[|(),]))"""
)


class TemplateError(CommandError):
    """The template cannot be read, or does not fit the value."""

    def __init__(self, message: str) -> None:
        super().__init__(
            f"template parsing error: {message}",
            "an example: --format '{{.Names}} {{json .Labels}}'",
            exit_code=64,
        )


class Template:
    """A parsed template: `Template("{{.Name}}").render({"Name": "web"})`. Raises TemplateError."""

    def __init__(self, source: str) -> None:
        self._nodes, rest = _parse_nodes(_pieces(source), ())
        if rest:
            raise TemplateError("unexpected {{end}}")

    def render(self, value: Any) -> str:
        """The text for one value. Raises TemplateError when a key that it names is not there."""
        out: list[str] = []
        _render(self._nodes, _Scope(value, {"$": value}), out)
        return "".join(out)


class _Scope:
    def __init__(self, dot: Any, names: dict[str, Any]) -> None:
        self.dot = dot
        self.names = names


_Node = tuple[Any, ...]  # ("text", str) | ("show", tokens) | ("set", name, tokens) | ("if"|"with"|"range", …)
_Piece = tuple[str, Any]


def _pieces(source: str) -> list[_Piece]:
    found: list[_Piece] = []
    position, trim = 0, False
    for match in _ACTION.finditer(source):
        text = source[position : match.start()]
        text = text.lstrip() if trim else text
        found.append(("text", text.rstrip() if match[1] else text))
        if not match[2].startswith("/*"):
            found.append(("action", _tokens(match[2])))
        position, trim = match.end(), bool(match[3])
    rest = source[position:]
    if "{{" in rest:
        raise TemplateError(f"unclosed action in {rest[rest.index('{{') :]!r}")
    found.append(("text", rest.lstrip() if trim else rest))
    return found


def _tokens(action: str) -> list[tuple[str, str]]:
    tokens, position = [], 0
    while action[position:].strip():
        match = _TOKEN.match(action, position)
        if match is None:
            raise TemplateError(f"unexpected {action[position:].strip()[0]!r} in {{{{{action}}}}}")
        tokens.append((match.lastgroup or "", match[match.lastgroup or 0]))
        position = match.end()
    if not tokens:
        raise TemplateError("missing value for command")
    return tokens


def _parse_nodes(pieces: list[_Piece], ends: Sequence[str]) -> tuple[list[_Node], list[_Piece]]:
    nodes: list[_Node] = []
    while pieces:
        (kind, content), *rest = pieces
        if kind == "text":
            nodes.append(("text", content))
            pieces = rest
            continue
        word = content[0][1] if content[0][0] == "word" else ""
        if word in ends or word == "end":
            return nodes, pieces
        if word in ("if", "with", "range"):
            node, pieces = _parse_block(word, content[1:], rest)
            nodes.append(node)
            continue
        if len(content) > 2 and content[1][1] in (":=", "="):
            nodes.append(("set", content[0][1], content[2:]))
        else:
            nodes.append(("show", content))
        pieces = rest
    if ends:
        raise TemplateError("unexpected EOF: {{end}} is missing")
    return nodes, []


def _parse_block(word: str, head: list[tuple[str, str]], pieces: list[_Piece]) -> tuple[_Node, list[_Piece]]:
    body, pieces = _parse_nodes(pieces, ("else", "end"))
    if not pieces:
        raise TemplateError("unexpected EOF: {{end}} is missing")
    content = pieces[0][1]
    otherwise: list[_Node] = []
    pieces = pieces[1:]
    if content[0][1] == "else":
        if len(content) > 1:  # else if: a block of its own, which the same {{end}} closes
            node, pieces = _parse_block(content[1][1], content[2:], pieces)
            return (word, head, body, [node]), pieces
        otherwise, pieces = _parse_nodes(pieces, ("end",))
        if not pieces:
            raise TemplateError("unexpected EOF: {{end}} is missing")
        pieces = pieces[1:]
    return (word, head, body, otherwise), pieces


def _render(nodes: list[_Node], scope: _Scope, out: list[str]) -> None:
    for node in nodes:
        match node[0]:
            case "text":
                out.append(node[1])
            case "show":
                out.append(text_of(_evaluate(node[1], scope)))
            case "set":
                scope.names[node[1]] = _evaluate(node[2], scope)
            case "range":
                _render_range(node, scope, out)
            case _:
                value = _evaluate(node[1], scope)
                inner = _Scope(value if node[0] == "with" and value else scope.dot, dict(scope.names))
                _render(node[2] if value else node[3], inner, out)


def _render_range(node: _Node, scope: _Scope, out: list[str]) -> None:
    head, names = list(node[1]), []
    if any(mark == ":=" for _, mark in head):
        cut = next(index for index, (_, mark) in enumerate(head) if mark == ":=")
        names = [text for kind, text in head[:cut] if kind == "path"]
        head = head[cut + 1 :]
    value = _evaluate(head, scope)
    pairs = sorted(value.items()) if isinstance(value, dict) else list(enumerate(value or ()))
    for key, item in pairs:
        inner = _Scope(item, dict(scope.names))
        inner.names |= dict(zip(names, (key, item) if len(names) > 1 else (item,), strict=False))
        _render(node[2], inner, out)
    if not pairs:
        _render(node[3], scope, out)


def _evaluate(tokens: list[tuple[str, str]], scope: _Scope) -> Any:
    value, rest = _pipeline(tokens, scope)
    if rest:
        raise TemplateError(f"unexpected {rest[0][1]!r}")
    return value


def _pipeline(tokens: list[tuple[str, str]], scope: _Scope) -> tuple[Any, list[tuple[str, str]]]:
    piped: list[Any] = []
    while True:
        value, tokens = _command(tokens, scope, piped)
        if not tokens or tokens[0][1] != "|":
            return value, tokens
        piped, tokens = [value], tokens[1:]


def _command(
    tokens: list[tuple[str, str]], scope: _Scope, piped: list[Any]
) -> tuple[Any, list[tuple[str, str]]]:
    if not tokens:
        raise TemplateError("missing value for command")
    kind, name = tokens[0]
    if kind != "word" or name in ("true", "false", "nil"):
        value, rest = _operand(tokens, scope)
        if piped or (rest and rest[0][1] not in ("|", ")")):
            raise TemplateError(f"can't give argument to non-function {name}")
        return value, rest
    function = _FUNCTIONS.get(name)
    if function is None:
        raise TemplateError(f'function "{name}" not defined')
    arguments: list[Any] = []
    rest = tokens[1:]
    while rest and rest[0][1] not in ("|", ")"):
        value, rest = _operand(rest, scope)
        arguments.append(value)
    try:
        return function(*arguments, *piped), rest
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise TemplateError(f"error calling {name}: {error}") from error


def _operand(tokens: list[tuple[str, str]], scope: _Scope) -> tuple[Any, list[tuple[str, str]]]:
    (kind, text), *rest = tokens
    if kind == "text":
        return text[1:-1] if text[0] == "`" else json.loads(text), rest
    if kind == "number":
        return (float(text) if "." in text else int(text)), rest
    if kind == "word":
        if text in ("true", "false", "nil"):
            return {"true": True, "false": False, "nil": None}[text], rest
        return _FUNCTIONS[text]() if text in _FUNCTIONS else _raise(f'function "{text}" not defined'), rest
    if text == "(":
        value, rest = _pipeline(rest, scope)
        if not rest or rest[0][1] != ")":
            raise TemplateError("unclosed left paren")
        rest = rest[1:]
        if rest and rest[0][0] == "path" and rest[0][1].startswith("."):
            return _walk(value, rest[0][1]), rest[1:]
        return value, rest
    if kind != "path":
        raise TemplateError(f"unexpected {text!r}")
    if not text.startswith("$"):
        return _walk(scope.dot, text), rest
    variable, dot, path = text.partition(".")
    if variable not in scope.names:
        raise TemplateError(f'undefined variable "{variable}"')
    return _walk(scope.names[variable], dot + path), rest


def _walk(value: Any, path: str) -> Any:
    for name in path.split("."):
        if not name:
            continue
        if value is None:
            raise TemplateError(f"nil pointer evaluating {path}")
        if not isinstance(value, dict):
            raise TemplateError(f"at <{path}>: {type(value).__name__} has no field {name}")
        if name not in value:
            raise TemplateError(f'at <{path}>: map has no entry for key "{name}"')
        value = value[name]
    return value


def _raise(message: str) -> Any:
    raise TemplateError(message)


def text_of(value: Any) -> str:
    """A value as Go's `fmt.Print` writes it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_inner(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(_inner(item) for item in value) + "]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _inner(value: Any) -> str:
    return "<nil>" if value is None else text_of(value)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int):
            if not 0 <= key < len(value):
                raise ValueError(f"index out of range: {key}")
            value = value[key]
        else:
            raise ValueError(f"can't index item of type {type(value).__name__}")
    return value


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _printf(form: str, *values: Any) -> str:
    def shown(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        value = next(rest)
        if match[2] in "vs":
            return f"%{match[1]}s" % text_of(value)
        return f"%{match[1]}s" % json.dumps(value) if match[2] == "q" else match[0] % value

    rest = iter(values)
    return re.sub(r"%(-?\d*(?:\.\d+)?)([vsdqxf%])", shown, form)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": _json,
    "index": _index,
    "len": len,
    "join": lambda items, separator: separator.join(map(text_of, items)),
    "split": lambda text, separator: text.split(separator),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "title": lambda text: text.title(),
    "truncate": lambda text, length: text[:length],
    "pad": lambda text, before, after: " " * before + text + " " * after if text else text,
    "print": lambda *values: "".join(map(text_of, values)),
    "println": lambda *values: " ".join(map(text_of, values)) + "\n",
    "printf": _printf,
    "not": lambda value: not value,
    "and": lambda *values: next((value for value in values if not value), values[-1]),
    "or": lambda *values: next((value for value in values if value), values[-1]),
    "eq": lambda first, *others: any(first == other for other in others),
    "ne": lambda one, other: one != other,
    "lt": lambda one, other: one < other,
    "le": lambda one, other: one <= other,
    "gt": lambda one, other: one > other,
    "ge": lambda one, other: one >= other,
    "slice": lambda text, *bounds: text[slice(*bounds) if len(bounds) > 1 else slice(bounds[0], None)],
}
