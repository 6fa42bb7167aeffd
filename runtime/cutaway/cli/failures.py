"""What a command ends with when it cannot do its work.

Both surfaces print such an error as two lines, `error: …` and `hint: …`, and nothing else. The exit code
belongs to the command, not to the error: Docker's `run` ends with 125 where `ps` would end with 1.
"""

from __future__ import annotations

from cutaway.errors import CutawayError

REFUSED = 125  # docker run: the engine, not the program, failed
INTERRUPTED = 130  # 128 + SIGINT, as shells count


class CommandError(CutawayError):
    """A command failed. `exit_code` is what its process ends with; `status` is HTTP's, 0 without."""

    def __init__(self, message: str, hint: str = "", *, exit_code: int = 1, status: int = 0) -> None:
        super().__init__(message, hint)
        self.exit_code = exit_code
        self.status = status

    def ending_with(self, exit_code: int) -> CommandError:
        """The same error with another exit code."""
        return CommandError(self.message, self.hint, exit_code=exit_code, status=self.status)


class InterruptedCommandError(CommandError):
    """The user interrupted the command; the hint says what became of what it had begun."""

    def __init__(self, hint: str = "") -> None:
        super().__init__("interrupted", hint, exit_code=INTERRUPTED)


def two_lines(error: CutawayError) -> str:
    """An error as text, without a newline at its end."""
    return "\n".join(error.lines())
