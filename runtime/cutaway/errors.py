"""One exception tree for the whole engine.

An error is made for a student: `message` is one line that says what failed and on what, `hint` is one line
with the likely cause or the next command. The API sends both as JSON with `status`; the terminal and the
magics print both and end with `exit_code`. Foreign errors (`OSError`, `sqlite3.Error`, …) are turned into
one of these where they enter, with `raise … from`, so that the whole story is in the log.

The numbers are Docker's: HTTP statuses from the Engine API reference, exit codes from `docker run`
(125 the engine refused, 126 the program cannot be executed, 127 the program is not there).
"""

from __future__ import annotations


class CutawayError(Exception):
    """What every error of ours is. `message` and `hint` are one line each, without a full stop."""

    status = 500
    exit_code = 125

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def lines(self) -> list[str]:
        """How an error looks everywhere: `error: …`, then `hint: …` if there is one.

        A syntax error brings the line that it points at; those lines stay between the two.
        """
        first, *pointing = self.message.strip().splitlines() or [""]
        hint = [f"hint: {' '.join(self.hint.split())}"] if self.hint else []
        return [f"error: {first}", *pointing, *hint]

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback when the error ends a cell."""
        return self.lines()


class BadInputError(CutawayError):
    """The request itself is wrong: a flag, a value, a name, a Dockerfile."""

    status = 400


class NotPermittedError(CutawayError):
    """The kernel or the rights at hand do not allow it; the hint names the missing right."""

    status = 403


class NotFoundError(CutawayError):
    """No such container, image, network, file."""

    status = 404


class ConflictError(CutawayError):
    """It exists already, is in use, or is in a state that forbids the request."""

    status = 409


class CommandNotFoundError(CutawayError):
    """The program is not in the container's file system."""

    status = 400
    exit_code = 127


class CommandNotExecutableError(CutawayError):
    """The program is there but may not be executed."""

    status = 400
    exit_code = 126


class NotSupportedError(CutawayError):
    """Docker has it, or other settings of it would allow it, but here it cannot be done."""

    status = 501


class EngineUnavailableError(CutawayError):
    """No engine answers on the socket."""

    status = 503


class StepError(CutawayError):
    """A kernel step failed: which one, with which errno."""

    def __init__(self, message: str, hint: str = "", *, step: str = "", errno: int = 0) -> None:
        super().__init__(message, hint)
        self.step = step
        self.errno = errno
