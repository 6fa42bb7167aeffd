"""Tab in `%container …`: the same answers as in a shell, on the first line of a cell or any other.

IPython calls a matcher with the text and the cursor, and shows what it answers instead of Python's names.
"""

from __future__ import annotations

import re

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from cutaway.cli.completion import candidates, engine_socket

_LINE = re.compile(r"^\s*(?:%%?container|%%dockerfile)(?=\s)(?P<typed>.*)$")


@context_matcher(identifier="cutaway.container", priority=200)  # type: ignore[untyped-decorator]
def match_container(context: CompletionContext) -> SimpleMatcherResult:
    """What the word before the cursor can become; nothing on a line that is not ours."""
    line = context.full_text.splitlines()[context.cursor_line] if context.full_text else ""
    found = _LINE.match(line[: context.cursor_position])
    if found is None:
        return {"completions": []}
    typed = found["typed"]
    words = typed.split()
    if not typed or typed[-1].isspace():
        words.append("")
    if line.lstrip().startswith("%%dockerfile"):
        words.insert(0, "build")
    names = candidates(words, engine_socket())
    # the completer replaces its own token, which is shorter than our word where that has a dash or a slash
    already = len(words[-1]) - len(context.token)
    texts = [name[already:] if already > 0 and not name.startswith(context.token) else name for name in names]
    return {
        "completions": [SimpleCompletion(text=text, type="container") for text in texts],
        "suppress": bool(names),
        "matched_fragment": context.token,
        "ordered": True,
    }
