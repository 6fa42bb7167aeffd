"""What this machine is: its distribution, its processor, and where its apt gets packages from.

An image made here may only be named after what this machine really is, and a container made of it must be
able to install packages offline from the same mirror as the machine. So the machine's apt sources and the
few apt settings that are needed to reach them are carried over; passwords are not: an image may be given to
others. Sources: os-release(5), sources.list(5), apt.conf(5).
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from cutaway.errors import CutawayError, NotPermittedError

_REACHABLE = ("http", "https", "ftp", "mirror+http", "mirror+https")
_SETTINGS = re.compile(
    r"Acquire::(?:(?:http|https|ftp)::(?:Proxy|Pipeline-Depth|Timeout)\b|Check-Valid-Until|Check-Date"
    r"|ForceIPv[46]|Retries|AllowInsecureRepositories|Max-FutureTime)",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True)
class Release:
    """The distribution, by os-release: `debian`, `bookworm`, `12`."""

    id: str
    codename: str
    version: str

    @classmethod
    def of_host(cls, path: Path = Path("/etc/os-release")) -> Release:
        """Read os-release. Raises NotPermittedError when there is none."""
        try:
            lines = path.read_text().splitlines()
        except OSError as error:
            raise NotPermittedError(
                f"cannot tell which distribution this is: no {path}", "use busybox instead"
            ) from error
        fields = dict(line.partition("=")[::2] for line in lines if "=" in line)
        values = {key: "".join(shlex.split(value)) for key, value in fields.items()}
        codename = values.get("UBUNTU_CODENAME") or values.get("VERSION_CODENAME", "")
        return cls(values.get("ID", ""), codename, values.get("VERSION_ID", ""))


@dataclasses.dataclass(frozen=True)
class Source:
    """One line of apt's sources: where from, which suite, which components, which options."""

    uri: str
    suite: str
    components: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()

    def line(self) -> str:
        """In the one-line form of sources.list(5)."""
        options = " ".join(f"{key}={value}" for key, value in self.options)
        parts = ["deb", f"[{options}]" if options else "", self.uri, self.suite, *self.components]
        return " ".join(part for part in parts if part)


def apt_sources(codename: str, folder: Path = Path("/etc/apt")) -> list[Source]:
    """The sources that this machine has for a release and that a container can reach, in order.

    Raises CutawayError when there are none.
    """
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.list"))]
    found = [source for file in files for source in _one_line(_text(file))]
    for file in sorted((folder / "sources.list.d").glob("*.sources")):
        found += _stanzas(_text(file))
    kept = [s for s in found if _fits(s, codename)]
    if not kept:
        raise CutawayError(f"apt has no sources for {codename} on this machine", f"look into {folder}")
    return list(dict.fromkeys(kept))


def apt_settings() -> list[str]:
    """The lines of apt.conf that this machine needs to reach its sources, without any with a password."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return [line for line in dump.splitlines() if _SETTINGS.match(line) and not _has_password(line)]


def keys(sources: list[Source]) -> list[Path]:
    """The files with keys that the sources name."""
    options = [value for source in sources for key, value in source.options if key == "signed-by"]
    paths = {Path(text) for value in options for text in value.split(",") if text.startswith("/")}
    return sorted(path for path in paths if path.is_file())


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _one_line(text: str) -> list[Source]:
    pattern = re.compile(r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)")
    sources = []
    for line in text.splitlines():
        match = pattern.fullmatch(line.partition("#")[0].strip())
        if match:
            pairs = (option.partition("=") for option in (match[1] or "").split())
            options = tuple((key.lower(), value) for key, _, value in pairs)
            sources.append(Source(match[2], match[3], tuple(match[4].split()), options))
    return sources


def _stanzas(text: str) -> list[Source]:
    sources = []
    for stanza in re.split(r"\n\s*\n", text):
        lines = [line for line in stanza.splitlines() if not line.startswith("#")]
        fields: dict[str, list[str]] = {}
        name = ""
        for line in lines:
            if line[:1] not in (" ", "\t"):
                name, _, line = line.partition(":")
            fields.setdefault(name.strip().lower(), []).extend(line.split())
        if fields.get("enabled") == ["no"] or "deb" not in fields.get("types", []):
            continue
        options = tuple(
            (key, ",".join(fields[key]))
            for key in ("architectures", "signed-by", "trusted", "check-valid-until", "check-date")
            if fields.get(key) and not fields[key][0].startswith("-----")
        )
        options = tuple(("arch" if key == "architectures" else key, value) for key, value in options)
        for uri in fields.get("uris", []):
            for suite in fields.get("suites", []):
                sources.append(Source(uri, suite, tuple(fields.get("components", [])), options))
    return sources


def _fits(source: Source, codename: str) -> bool:
    address = urlsplit(source.uri)
    official = source.suite.split("/")[0] in {
        codename, *(f"{codename}-{part}" for part in ("updates", "security", "backports"))
    }  # fmt: skip
    return official and address.scheme in _REACHABLE and not address.password


def _has_password(line: str) -> bool:
    return re.search(r"//[^/\s\"]*:[^/\s\"]*@", line) is not None
