"""The values of Go templates: how a field is found, how things print, and the functions.

The engine's answers are JSON, but people write templates for the Go structs behind them. Three things
make the difference. A field of a struct that has no value is there (`.State.Health` prints `<nil>`), while a
name that no struct has is a mistake. A map (labels, ports) gives its zero value for a key that it lacks. And
a field may be written as in Go or as in JSON: `.ID` is `.Id`.
(https://pkg.go.dev/text/template, https://pkg.go.dev/fmt; Docker's own functions: json, split, join, title,
lower, upper, pad, truncate, println.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from cutaway.cli.failures import CommandError


class TemplateError(CommandError):
    """The template cannot be read (exit status 64), or does not fit the value (1)."""

    def __init__(self, message: str, *, at_run_time: bool = False) -> None:
        super().__init__(
            f"template parsing error: {message}",
            "an example: --format '{{.Names}} {{json .Labels}}'",
            exit_code=1 if at_run_time else 64,
        )


class Nil:
    """An empty value of Go with the text that it prints: a pointer, a slice, a map, or no value at all."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __bool__(self) -> bool:
        return False

    def __len__(self) -> int:
        if self.text.startswith("<"):
            raise TypeError(f"len of {self.text} pointer")
        return 0

    def __eq__(self, other: object) -> bool:
        return other is None or (isinstance(other, Nil) and other.text == self.text)

    __hash__ = None  # type: ignore[assignment]  # equal to None, whose hash it has not


NO_VALUE, NIL, NIL_SLICE, NIL_MAP = Nil("<no value>"), Nil("<nil>"), Nil("[]"), Nil("map[]")

# the fields that are maps in Go, and what each gives for a key that it has not
MAPS: dict[str, Any] = {
    **dict.fromkeys(
        ("Annotations", "Data", "DriverOpts", "Labels", "Options", "StorageOpt", "Sysctls", "Tmpfs"), ""
    ),
    **dict.fromkeys(("PortBindings", "Ports"), NIL_SLICE),
    **dict.fromkeys(("Containers", "ExposedPorts", "Networks", "Volumes"), NIL),
}
# the fields that are pointers in Go: without a value they print <nil>; every other empty field is a slice
POINTERS = {"Health", "Healthcheck", "IPAMConfig", "Init", "MemorySwappiness", "OomKillDisable", "PidsLimit"}
# the fields that JSON leaves out when they are empty
OMITTED: dict[str, Any] = {
    **dict.fromkeys(POINTERS, NIL),
    **dict.fromkeys(("Annotations", "ExposedPorts", "StorageOpt", "Sysctls", "Tmpfs"), NIL_MAP),
    **dict.fromkeys(("Mounts", "Shell"), NIL_SLICE),
    **dict.fromkeys(("SizeRootFs", "SizeRw", "StopTimeout"), NIL),
    **dict.fromkeys(("Driver", "MacAddress", "Name", "StopSignal"), ""),
    **dict.fromkeys(("ArgsEscaped", "NetworkDisabled"), False),
}


class _Map(dict[str, Any]):
    """A map of Go: `at` gives its zero value for a key that it lacks."""

    zero: Any = None

    def at(self, key: str) -> Any:
        found = self.get(key)
        return self.zero if found is None else found


def field_of(value: Any, path: str) -> Any:
    """`.A.B` of a value; `.` is the value itself. Raises TemplateError for a field that is not there."""
    for name in filter(None, path.split(".")):
        value = _field(value, name, path)
    return value


def _field(value: Any, name: str, path: str) -> Any:
    if isinstance(value, Nil) and value in (NIL_MAP, NO_VALUE):
        return NO_VALUE
    if value is None or isinstance(value, Nil):
        raise TemplateError(f"at <{path}>: nil pointer evaluating {name}", at_run_time=True)
    if not isinstance(value, dict):
        raise TemplateError(
            f"at <{path}>: can't evaluate field {name} in type {_type_of(value)}", at_run_time=True
        )
    if isinstance(value, _Map):
        return NO_VALUE if name not in value else value.at(name)
    if name not in value:
        known = {key.lower(): key for key in value} if name[0].isupper() else {}
        if name.lower() not in known:
            if name in OMITTED and not _is_row(value):
                return OMITTED[name]
            raise TemplateError(f'at <{path}>: map has no entry for key "{name}"', at_run_time=True)
        name = known[name.lower()]
    found = value[name]
    if found is None:
        return NIL_MAP if name in MAPS else NIL if name in POINTERS else NIL_SLICE
    is_options = name == "Config" and "Type" in value  # of LogConfig; a container's Config is a struct
    if isinstance(found, dict) and (name in MAPS or is_options):
        found = _Map(found)
        found.zero = MAPS.get(name, "")
    return found


def _is_row(value: dict[str, Any]) -> bool:
    """Whether it is a line of a list, whose fields are all texts, rather than a struct of the API."""
    return all(isinstance(item, str) for item in value.values())


def _type_of(value: Any) -> str:
    for kind, name in ((bool, "bool"), (str, "string"), (int, "int"), (float, "float64"), (list, "[]any")):
        if isinstance(value, kind):
            return name
    return "map[string]any"


def pairs_of(value: Any) -> list[tuple[Any, Any]]:
    """What `range` goes through: keys in order with their values, or indexes with items."""
    if not value:
        return []
    if isinstance(value, dict):
        return sorted(value.items())
    if isinstance(value, bool | str | float):
        raise TemplateError(f"range can't iterate over {text_of(value)}", at_run_time=True)
    return list(enumerate(range(value) if isinstance(value, int) else value))


def text_of(value: Any) -> str:
    """A value as Go's `fmt.Print` writes it."""
    if value is None:
        return "<no value>"
    if isinstance(value, Nil):
        return value.text
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_inner(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(_inner(item) for item in value) + "]"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def _inner(value: Any) -> str:
    return "<nil>" if value is None else text_of(value)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, _Map):
            value = value.at(key)
        elif isinstance(value, dict):
            value = value.get(key, NO_VALUE)
        elif value is NIL_MAP:
            value = NO_VALUE
        elif isinstance(value, list | str | Nil) and isinstance(key, int):
            if value is NIL or value is NO_VALUE:
                raise ValueError("index of nil pointer")
            if isinstance(value, Nil) or not 0 <= key < len(value):
                raise ValueError(f"reflect: slice index out of range: {key}")
            value = value.encode()[key] if isinstance(value, str) else value[key]
        elif value is None or isinstance(value, Nil):
            raise ValueError("index of untyped nil")
        else:
            raise ValueError(f"can't index item of type {_type_of(value)}")
    return value


def _slice(value: Any, *bounds: int) -> Any:
    start, end = (*bounds, *(0, len(value))[len(bounds) :])[:2]
    if not 0 <= start <= end <= len(value):
        raise ValueError(f"index out of range: {start}:{end}")
    return NIL_SLICE if isinstance(value, Nil) else value[start:end]


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=lambda nil: None)


def _print(*values: Any) -> str:
    """As `fmt.Sprint`: a space between two operands when neither is a string."""
    out, before_is_text = "", True
    for value in values:
        is_text = isinstance(value, str)
        out += ("" if before_is_text or is_text else " ") + text_of(value)
        before_is_text = is_text
    return out


_VERB = re.compile(r"%([-+ 0#]*\d*(?:\.\d+)?)(.)", re.DOTALL)


def _printf(form: str, *values: Any) -> str:
    rest = list(values)

    def shown(match: re.Match[str]) -> str:
        flags, verb = match[1], match[2]
        if verb == "%":
            return "%"
        if not rest:
            return f"%!{verb}(MISSING)"
        value = rest.pop(0)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        match verb:
            case "v" | "s" if verb == "v" or not number:
                return f"%{flags.strip('+#')}s" % text_of(value)
            case "q" if isinstance(value, str):
                return f"%{flags}s" % json.dumps(value, ensure_ascii=False)
            case "t" if isinstance(value, bool):
                return text_of(value)
            case "d" | "x" | "X" | "o" | "c" if number and isinstance(value, int):
                return str(f"%{flags}{verb}" % value)
            case "f" | "e" | "g" if number:
                return str(f"%{flags}{verb}" % value)
            case "x" if isinstance(value, str):
                return value.encode().hex()
            case "T":
                return _type_of(value)
        return f"%!{verb}({_type_of(value)}={text_of(value)})"

    text = _VERB.sub(shown, form)
    extra = ", ".join(f"{_type_of(value)}={text_of(value)}" for value in rest)
    return f"{text}%!(EXTRA {extra})" if extra else text


def _title(text: str) -> str:
    return re.sub(r"(?<![\w'])\w", lambda match: match[0].upper(), text)


def _pad(text: str, before: int, after: int) -> str:
    return " " * before + text + " " * after if text else text


def _join(items: Sequence[Any], separator: str) -> str:
    if isinstance(items, str | dict):
        raise TypeError(f"expected []string, got {_type_of(items)}")
    return separator.join(map(text_of, items or ()))


def _ordered(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(one: Any, other: Any) -> bool:
        if isinstance(one, str) != isinstance(other, str):
            raise TypeError("incompatible types for comparison")
        return test(one, other)

    return compare


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Nil) or isinstance(other, Nil) or one is None or other is None:
        return bool(one == other)
    if isinstance(one, list | dict) or isinstance(other, list | dict):
        raise TypeError(f"non-comparable type {_type_of(one)}")
    if isinstance(one, str) != isinstance(other, str) or isinstance(one, bool) != isinstance(other, bool):
        raise TypeError("incompatible types for comparison")
    return bool(one == other)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": _json,
    "index": _index,
    "slice": _slice,
    "len": len,
    "join": _join,
    "split": lambda text, separator: text.split(separator) if separator else list(text),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "title": _title,
    "truncate": lambda text, length: text[:length],
    "pad": _pad,
    "print": _print,
    "println": lambda *values: " ".join(map(text_of, values)) + "\n",
    "printf": _printf,
    "not": lambda value: not value,
    "eq": lambda first, *others: any(_equal(first, other) for other in others),
    "ne": lambda one, other: not _equal(one, other),
    "lt": _ordered(lambda one, other: one < other),
    "le": _ordered(lambda one, other: one <= other),
    "gt": _ordered(lambda one, other: one > other),
    "ge": _ordered(lambda one, other: one >= other),
}
