"""Instructions that change an image's settings and no file: ENV, LABEL, CMD, EXPOSE and their like.

Each function takes the state of the stage, changes its config, and returns the instruction as the history
shows it: variables filled in, JSON where the order of words matters. Nothing here touches a disk or asks the
kernel.

Source: Dockerfile reference; OCI image-spec, config.md for the fields.
"""

from __future__ import annotations

import json
import posixpath
import re
import signal
from collections.abc import Callable, Mapping
from typing import Any

from cutaway.build.instructions import (
    Arg,
    Cmd,
    Command,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Pair,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from cutaway.build.state import StageState, merge
from cutaway.oci import image as oci

_PORT = re.compile(r"(\d+)(?:-(\d+))?(?:/(\w+))?")
_PROTOCOLS = ("tcp", "udp", "sctp")


class Changer:
    """Changes the state of one stage. `given` are the build arguments of the command line, `outer` the ARGs
    before the first FROM; `used` collects the names that an ARG asked for.
    """

    def __init__(
        self,
        state: StageState,
        escape: str,
        given: Mapping[str, str | None],
        outer: Mapping[str, str],
        used: set[str],
    ) -> None:
        self.state = state
        self.escape = escape
        self.given = given
        self.outer = outer
        self.used = used

    def change(self, instruction: Instruction) -> str:
        """Do it; returns the text for the history. Raises DockerfileError that points into the line."""
        return _CHANGES[type(instruction)](self, instruction)

    def _env(self, env: Env) -> str:
        pairs = self._pairs(env, env.pairs)
        for name, value in pairs:
            self.state.set_environment(name, value)
        return "ENV " + " ".join(f"{name}={value}" for name, value in pairs)

    def _label(self, label: Label) -> str:
        pairs = self._pairs(label, label.pairs)
        config = self.state.config.config
        config.labels = merge(config.labels, dict(pairs))
        return "LABEL " + " ".join(f"{name}={value}" for name, value in pairs)

    def _arg(self, arg: Arg) -> str:
        shown = []
        for pair in arg.pairs:
            name = arg.expand(pair.name, self.state.variables, self.escape)
            value = None if pair.value is None else arg.expand(pair.value, self.state.variables, self.escape)
            shown.append(name if value is None else f"{name}={value}")
            self.used.add(name)
            given = self.given.get(name)
            value = self.outer.get(name) if value is None else value
            value = given if given is not None else value
            if value is not None:
                self.state.arguments[name] = value
        return "ARG " + " ".join(shown)

    def _workdir(self, workdir: Workdir) -> str:
        path = workdir.expand(workdir.path, self.state.variables, self.escape)
        if not path:
            raise workdir.fault("WORKDIR path is empty after its variables are filled in", word=workdir.path)
        path = "/" + posixpath.normpath(posixpath.join(self.state.working_dir, path)).lstrip("/")
        self.state.config.config.working_dir = path
        return f"WORKDIR {path}"

    def _user(self, user: User) -> str:
        name = user.expand(user.user, self.state.variables, self.escape)
        self.state.config.config.user = name
        return f"USER {name}"

    def _expose(self, expose: Expose) -> str:
        ports = []
        for word in expose.ports:
            for text in expose.expand_words(word, self.state.variables, self.escape):
                found = ports_of(text)
                if not found:
                    hint = "expected a port from 1 to 65535, perhaps with /tcp or /udp; -p HOST:PORT is run's"
                    raise expose.fault(f"Invalid containerPort: {text}", hint, word=word)
                ports += found
        config = self.state.config.config
        config.exposed_ports = {**(config.exposed_ports or {}), **{port: {} for port in ports}}
        return "EXPOSE " + " ".join(ports)

    def _volume(self, volume: Volume) -> str:
        paths = []
        for word in volume.paths:
            path = volume.expand(word, self.state.variables, self.escape)
            if not path:
                raise volume.fault("VOLUME specified can not be an empty string", word=word)
            paths.append(path)
        config = self.state.config.config
        config.volumes = {**(config.volumes or {}), **{path: {} for path in paths}}
        return f"VOLUME {json.dumps(paths)}"

    def _cmd(self, cmd: Cmd) -> str:
        words = self._argv(cmd.command)
        self.state.config.config.cmd = words
        self.state.cmd_set = True
        return f"CMD {json.dumps(words or [])}"

    def _entrypoint(self, entrypoint: Entrypoint) -> str:
        words = self._argv(entrypoint.command)
        self.state.config.config.entrypoint = words
        if not self.state.cmd_set:  # the base image's CMD was made for the base image's ENTRYPOINT
            self.state.config.config.cmd = None
        return f"ENTRYPOINT {json.dumps(words or [])}"

    def _shell(self, shell: Shell) -> str:
        self.state.config.config.shell = list(shell.words)
        return f"SHELL {json.dumps(list(shell.words))}"

    def _stop_signal(self, stop: StopSignal) -> str:
        text = stop.expand(stop.signal, self.state.variables, self.escape)
        if not is_signal(text):
            hint = "expected for example SIGTERM or 15"
            raise stop.fault(f"Invalid signal: {text}", hint, word=stop.signal)
        self.state.config.config.stop_signal = text
        return f"STOPSIGNAL {text}"

    def _maintainer(self, maintainer: Maintainer) -> str:
        self.state.config.author = maintainer.author
        return f"MAINTAINER {maintainer.author}"

    def _healthcheck(self, check: Healthcheck) -> str:
        test = list(check.test)
        if check.command is not None:
            test = ["CMD-SHELL" if check.command.shell else "CMD", *check.command.words]
        times = (check.interval, check.timeout, check.start_period, check.start_interval, check.retries)
        self.state.config.config.healthcheck = oci.Healthcheck(test, *times)
        return f"HEALTHCHECK {json.dumps([test, *times])}"

    def _argv(self, command: Command | None) -> list[str] | None:
        return None if command is None else command.argv(self.state.shell)

    def _pairs(self, instruction: Instruction, pairs: tuple[Pair, ...]) -> list[tuple[str, str]]:
        """All values see the variables as they were before this instruction."""
        variables, found = self.state.variables, []
        for pair in pairs:
            name = instruction.expand(pair.name, variables, self.escape)
            if not name:
                raise instruction.fault(f"{instruction.keyword} names can not be blank", word=pair.name)
            value = "" if pair.value is None else instruction.expand(pair.value, variables, self.escape)
            found.append((name, value))
        return found


_CHANGES: dict[type[Instruction], Callable[[Changer, Any], str]] = {
    Env: Changer._env,
    Label: Changer._label,
    Arg: Changer._arg,
    Workdir: Changer._workdir,
    User: Changer._user,
    Expose: Changer._expose,
    Volume: Changer._volume,
    Cmd: Changer._cmd,
    Entrypoint: Changer._entrypoint,
    Shell: Changer._shell,
    StopSignal: Changer._stop_signal,
    Maintainer: Changer._maintainer,
    Healthcheck: Changer._healthcheck,
}


def ports_of(text: str) -> list[str]:
    """`80`, `53/udp`, `8000-8002` as `80/tcp`, …; empty for what is no port."""
    found = _PORT.fullmatch(text)
    if found is None:
        return []
    first, last, protocol = int(found[1]), int(found[2] or found[1]), (found[3] or "tcp").lower()
    if not 0 < first <= last < 65536 or protocol not in _PROTOCOLS:
        return []
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def is_signal(text: str) -> bool:
    """A signal by number or by name, with or without SIG."""
    if text.isdigit():
        return 0 < int(text) <= signal.SIGRTMAX
    name = text.upper().removeprefix("SIG")
    if re.fullmatch(r"RTM(IN|AX)([+-]\d+)?", name):
        return True
    return f"SIG{name}" in signal.Signals.__members__
