"""Go templates, as far as `--format` and `inspect -f` are used with Docker.

    template  = { text | "{{" action "}}" }
    action    = "range" head | "if" head | "with" head | "else" [("if" | "with") head] | "end"
              | "break" | "continue" | head
    head      = ["$name" ["," "$name"] (":=" | "=")] pipeline
    pipeline  = command { "|" command }         the value before is the last argument of the next
    command   = operand { operand }             a function with its arguments, or one operand
    operand   = "." | ".A.B" | "$" | "$name.A" | "text" | `text` | 12 | true | nil | "(" pipeline ")" [".A"]

Two passes, as in Go: reading a template makes a tree of small functions and finds every mistake of form;
rendering calls them with a value. What the values are, and how they print, is in `template_values`.
(https://pkg.go.dev/text/template)
"""

from __future__ import annotations

import functools
import json
import re
from collections import ChainMap
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from cutaway.cli.template_values import FUNCTIONS, TemplateError, field_of, pairs_of, text_of

_ACTION = re.compile(
    r"\{\{(-\s)?\s*(/\*.*?\*/|(?:\"(?:\\.|[^\"\\])*\"|`[^`]*`|[^\"`])*?)\s*(\s-)?\}\}", re.DOTALL
)
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:\\.|[^"\\])*"|`[^`]*`)|(?P<number>-?\d+(?:\.\d+)?)(?![\w.])"""
    r"""|(?P<path>\$?\w*(?:\.\w+)+|\$\w*|\.)|(?P<word>\w+)|(?P<mark>:=|=|[|(),]))"""
)
_CONSTANTS = {"true": True, "false": False, "nil": None}
_UNSUPPORTED = ("define", "template", "block")


class Template:
    """A parsed template: `Template("{{.Name}}").render({"Name": "web"})`. Raises TemplateError."""

    def __init__(self, source: str) -> None:
        reader = _Reader(_pieces(source))
        self._nodes, end = reader.nodes(in_range=False)
        if end is not None:
            raise TemplateError(f"unexpected {{{{{end[0].text}}}}}")

    def render(self, value: Any) -> str:
        """The text for one value. Raises TemplateError when it names a field that is not there."""
        out: list[str] = []
        _write(self._nodes, _Scope(value, ChainMap({"$": value})), out)
        return "".join(out)


class _Scope(NamedTuple):
    dot: Any
    names: ChainMap[str, Any]

    def inner(self, dot: Any) -> _Scope:
        return _Scope(dot, self.names.new_child())


_Value = Callable[[_Scope], Any]
_Node = Callable[[_Scope, list[str]], None]


class _Word(NamedTuple):
    kind: str  # text, number, path, word, mark
    text: str


class _LeavingError(Exception):
    """`{{break}}`; with `again`, `{{continue}}`."""

    def __init__(self, *, again: bool) -> None:
        super().__init__()
        self.again = again


def _write(nodes: Iterable[_Node], scope: _Scope, out: list[str]) -> None:
    for node in nodes:
        node(scope, out)


def _pieces(source: str) -> list[str | list[_Word]]:
    found: list[str | list[_Word]] = []
    position, trim = 0, False
    for match in _ACTION.finditer(source):
        text = source[position : match.start()]
        text = text.lstrip() if trim else text
        found.append(text.rstrip() if match[1] else text)
        if not match[2].startswith("/*"):
            found.append(_words(match[2]))
        position, trim = match.end(), bool(match[3])
    rest = source[position:]
    if "{{" in rest:
        raise TemplateError(f"unclosed action in {rest[rest.index('{{') :]!r}")
    found.append(rest.lstrip() if trim else rest)
    return found


def _words(action: str) -> list[_Word]:
    words, position = [], 0
    while action[position:].strip():
        match = _TOKEN.match(action, position)
        if match is None:
            raise TemplateError(f"unexpected {action[position:].strip()[0]!r} in {{{{{action}}}}}")
        words.append(_Word(match.lastgroup or "", match[match.lastgroup or 0]))
        position = match.end()
    if not words:
        raise TemplateError("missing value for command")
    return words


class _Reader:
    """Makes nodes of pieces: each method takes what it understands from the front."""

    def __init__(self, pieces: list[str | list[_Word]]) -> None:
        self._pieces = iter(pieces)

    def nodes(self, *, in_range: bool) -> tuple[list[_Node], list[_Word] | None]:
        """Everything up to the `else` or `end` that is not of a block within, and that action."""
        nodes: list[_Node] = []
        for piece in self._pieces:
            if isinstance(piece, str):
                nodes.append(_literal(piece))
                continue
            match piece[0]:
                case _Word("word", "else" | "end"):
                    return nodes, piece
                case _Word("word", "if" | "with" | "range" as word):
                    nodes.append(self._block(word, piece[1:], in_range=in_range or word == "range"))
                case _Word("word", "break" | "continue" as word) if len(piece) == 1:
                    if not in_range:
                        raise TemplateError(f"{{{{{word}}}}} outside {{{{range}}}}")
                    nodes.append(_leave(again=word == "continue"))
                case _Word("word", word) if word in _UNSUPPORTED:
                    raise TemplateError(f"{{{{{word}}}}} is not supported: one template has to do")
                case _:
                    names, declares, value = _head(piece)
                    nodes.append(_assign(names, value, declares=declares) if names else _show(value))
        return nodes, None

    def _block(self, word: str, head: list[_Word], *, in_range: bool) -> _Node:
        names, declares, value = _head(head)
        body, end = self.nodes(in_range=in_range)
        otherwise: list[_Node] = []
        if end is not None and end[0].text == "else":
            if len(end) > 1:  # else if: a block of its own, which the same {{end}} closes
                if end[1].text not in ("if", "with"):
                    raise TemplateError(f"unexpected {end[1].text!r} in {{{{else}}}}")
                otherwise = [self._block(end[1].text, end[2:], in_range=in_range)]
                return _BLOCKS[word](names, value, body, otherwise, declares)
            otherwise, end = self.nodes(in_range=in_range)
        if end is None:
            raise TemplateError("unexpected EOF: {{end}} is missing")
        if end[0].text != "end":
            raise TemplateError("unexpected {{else}}")
        return _BLOCKS[word](names, value, body, otherwise, declares)


def _literal(text: str) -> _Node:
    return lambda scope, out: out.append(text)


def _show(value: _Value) -> _Node:
    return lambda scope, out: out.append(text_of(value(scope)))


def _leave(*, again: bool) -> _Node:
    def leave(scope: _Scope, out: list[str]) -> None:
        raise _LeavingError(again=again)

    return leave


def _assign(names: list[str], value: _Value, *, declares: bool) -> _Node:
    def assign(scope: _Scope, out: list[str]) -> None:
        _set(scope, names[0], value(scope), declares=declares)

    return assign


def _set(scope: _Scope, name: str, value: Any, *, declares: bool) -> None:
    if declares:
        scope.names[name] = value
        return
    for level in scope.names.maps:
        if name in level:
            level[name] = value
            return
    raise TemplateError(f'undefined variable "{name}"')


def _choice(
    names: list[str], value: _Value, body: list[_Node], otherwise: list[_Node], declares: bool, *, moves: bool
) -> _Node:
    def choose(scope: _Scope, out: list[str]) -> None:
        found = value(scope)
        inner = scope.inner(found if moves and found else scope.dot)
        if names:
            _set(inner, names[0], found, declares=declares)
        _write(body if found else otherwise, inner, out)

    return choose


def _range(
    names: list[str], value: _Value, body: list[_Node], otherwise: list[_Node], declares: bool
) -> _Node:
    def loop(scope: _Scope, out: list[str]) -> None:
        pairs = pairs_of(value(scope))
        for pair in pairs:
            inner = scope.inner(pair[1])
            for name, item in zip(names, pair[2 - len(names) :], strict=True) if names else ():
                _set(inner, name, item, declares=declares)
            try:
                _write(body, inner, out)
            except _LeavingError as leaving:
                if not leaving.again:
                    break
        if not pairs:
            _write(otherwise, scope, out)

    return loop


_BLOCKS: dict[str, Callable[..., _Node]] = {
    "if": functools.partial(_choice, moves=False),
    "with": functools.partial(_choice, moves=True),
    "range": _range,
}


def _head(words: list[_Word]) -> tuple[list[str], bool, _Value]:
    """Take a pipeline and the variables that get its value: `(names, whether they are new, value)`."""
    cut = next((index for index, word in enumerate(words) if word in (("mark", ":="), ("mark", "="))), None)
    if cut is None:
        return [], False, _pipeline(words)
    names = [word.text for word in words[:cut] if word.kind == "path"]
    if [word.text for word in words[:cut]] not in (names, [*names[:1], ",", *names[1:]]) or not names:
        raise TemplateError(f"unexpected {words[cut].text!r}")
    if any(not name.startswith("$") or "." in name for name in names) or len(names) > 2:
        raise TemplateError(f"{words[0].text!r} is not a variable")
    return names, words[cut].text == ":=", _pipeline(words[cut + 1 :])


def _pipeline(words: list[_Word]) -> _Value:
    value, rest = _read_pipeline(words)
    if rest:
        raise TemplateError(f"unexpected {rest[0].text!r}")
    return value


def _read_pipeline(words: list[_Word]) -> tuple[_Value, list[_Word]]:
    value, rest = _command(words, None)
    while rest and rest[0] == ("mark", "|"):
        value, rest = _command(rest[1:], value)
    return value, rest


def _command(words: list[_Word], piped: _Value | None) -> tuple[_Value, list[_Word]]:
    if not words:
        raise TemplateError("missing value for command")
    first = words[0]
    if first.kind != "word" or first.text in _CONSTANTS:
        value, rest = _operand(words)
        if piped is not None or (rest and rest[0].text not in ("|", ")")):
            raise TemplateError(f"can't give argument to non-function {first.text}")
        return value, rest
    arguments: list[_Value] = []
    rest = words[1:]
    while rest and rest[0] not in (("mark", "|"), ("mark", ")")):
        value, rest = _operand(rest)
        arguments.append(value)
    return _call(first.text, [*arguments, piped] if piped is not None else arguments), rest


def _call(name: str, arguments: list[_Value]) -> _Value:
    if name in ("and", "or"):  # they stop at the first argument that decides
        return _decide(name, arguments)
    function = FUNCTIONS.get(name)
    if function is None:
        raise TemplateError(f'function "{name}" not defined')

    def call(scope: _Scope) -> Any:
        values = [argument(scope) for argument in arguments]
        try:
            return function(*values)
        except (TypeError, ValueError, AttributeError, LookupError) as error:
            raise TemplateError(f"error calling {name}: {error}", at_run_time=True) from error

    return call


def _decide(name: str, arguments: list[_Value]) -> _Value:
    if not arguments:
        raise TemplateError(f"wrong number of args for {name}: want at least 1 got 0")

    def decide(scope: _Scope) -> Any:
        value = None
        for argument in arguments:
            value = argument(scope)
            if bool(value) == (name == "or"):
                break
        return value

    return decide


def _operand(words: list[_Word]) -> tuple[_Value, list[_Word]]:
    (kind, text), *rest = words
    match kind:
        case "text":
            return _constant(text[1:-1] if text[0] == "`" else _unquoted(text)), rest
        case "number":
            return _constant(float(text) if "." in text else int(text)), rest
        case "word":
            return (_constant(_CONSTANTS[text]) if text in _CONSTANTS else _call(text, [])), rest
        case "path":
            return _path(text), rest
    if text != "(":
        raise TemplateError(f"unexpected {text!r}")
    value, rest = _read_pipeline(rest)
    if not rest or rest[0] != ("mark", ")"):
        raise TemplateError("unclosed left paren")
    rest = rest[1:]
    if rest and rest[0].kind == "path" and rest[0].text.startswith("."):
        path = rest[0].text
        return (lambda scope: field_of(value(scope), path)), rest[1:]
    return value, rest


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError as error:
        raise TemplateError(f"bad string {text}") from error


def _constant(value: Any) -> _Value:
    return lambda scope: value


def _path(text: str) -> _Value:
    if not text.startswith("$"):
        return lambda scope: field_of(scope.dot, text)
    variable, dot, path = text.partition(".")

    def walk(scope: _Scope) -> Any:
        if variable not in scope.names:
            raise TemplateError(f'undefined variable "{variable}"')
        return field_of(scope.names[variable], dot + path)

    return walk
