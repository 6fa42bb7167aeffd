"""COPY and ADD as a step: which files, from where, and the copy itself in the mounted image."""

from __future__ import annotations

import json
import posixpath
import re
import threading
from pathlib import Path

from cutaway.build.cache import Inputs
from cutaway.build.copying import Copier, CopyJob
from cutaway.build.failures import BuildFailedError
from cutaway.build.instructions import Copy
from cutaway.build.ownership import look_up
from cutaway.build.parser import Heredoc
from cutaway.build.state import StageState
from cutaway.build.trees import Tree
from cutaway.build.words import Word, WordError, expand
from cutaway.build.workshop import Workshop, to_the_end
from cutaway.errors import NotFoundError
from cutaway.linux.files import RootFiles
from cutaway.linux.private_mounts import in_private_mounts
from cutaway.oci.image import Layer
from cutaway.store.images import Image


class CopyStep:
    """COPY and ADD: files of the context, of heredocs or of another stage into a new layer."""

    def __init__(self, shop: Workshop, instruction: Copy, state: StageState) -> None:
        self.shop = shop
        self.instruction = instruction
        self.state = state
        self.text = ""
        self.heredocs: Tree | None = None
        self.source_id = ""
        self.source_layers: list[Layer] = []
        self.patterns: list[str] = []
        self.jobs: list[tuple[Tree | None, tuple[str, ...]]] = []

    async def prepare(self) -> Inputs:
        """Expand every word and hash the files. Raises DockerfileError; BuildFailedError: no such source."""
        return await to_the_end(self._prepare)

    async def work(self) -> Image:
        """Copy in a thread that sees the image mounted, and keep what changed."""
        stop = threading.Event()
        scratch = self.shop.scratch()

        def copy() -> None:
            scratch.mount(self.shop.layers.root, self.shop.lowers(self.state.layers))
            other = None
            if self.source_id:
                scratch.mount_source(self.shop.layers.root, self.shop.lowers(self.source_layers))
                other = Tree(scratch.source)
            with RootFiles(scratch.merged) as root:
                for tree, paths in self._jobs(other):
                    Copier(tree, root, stop).run(self._job(root, paths))

        try:
            await in_private_mounts(copy, stop)
        except BuildFailedError as error:
            raise self._failed(error.message, error.hint) from error
        layer = await to_the_end(self.shop.make_layer, scratch.upper)
        return await to_the_end(self.shop.make_image, self.state, self.text, layer)

    def _prepare(self) -> Inputs:
        instruction, variables = self.instruction, self.state.variables
        heredocs = {heredoc.start: heredoc for heredoc in instruction.line.heredocs}
        plain = [word for word in instruction.sources if word.offset not in heredocs]
        self.patterns = [self.shop.expand(instruction, word, variables) for word in plain]
        written = [heredocs[word.offset] for word in instruction.sources if word.offset in heredocs]
        self.destination = self._expanded(instruction.destination)
        self.chown, self.mode = self._expanded(instruction.chown), self._mode()
        files: dict[str, str] = {}
        if instruction.stage is not None:
            self._find_stage(self._expanded(instruction.stage))
        elif self.patterns:
            paths = self._find(self.shop.context, self.patterns)
            files |= self._digests(paths)
            self.jobs.append((self.shop.context, paths))
        if written:
            tree = self._write(written)
            names = tuple(heredoc.name for heredoc in written)
            files |= {f"<<{name}": digest for name, digest in tree.digests(list(names)).items()}
            self.jobs.append((tree, names))
        self._check_destination(sum(len(paths) for _, paths in self.jobs) or len(self.patterns))
        return self._inputs(files, [f"<<{heredoc.name}" for heredoc in written])

    def _inputs(self, files: dict[str, str], heredocs: list[str]) -> Inputs:
        keyword, sources = self.instruction.keyword, [*self.patterns, *heredocs]
        flags = [f"--{name}={value}" for name, value in self._flags().items() if value]
        self.text = " ".join([keyword, *flags, *sources, self.destination])
        identity = [keyword, flags, sources, self.destination, self.source_id]
        return Inputs(self.state.parent, json.dumps(identity), files)

    def _flags(self) -> dict[str, str]:
        chmod = "" if self.mode is None else f"{self.mode:o}"
        return {"from": self._expanded(self.instruction.stage), "chown": self.chown, "chmod": chmod}

    def _expanded(self, word: Word | None) -> str:
        return "" if word is None else self.shop.expand(self.instruction, word, self.state.variables)

    def _mode(self) -> int | None:
        text = self._expanded(self.instruction.chmod)
        if text and not re.fullmatch(r"[0-7]{1,4}", text):
            hint = "expected an octal number such as 755"
            problem = f"invalid chmod parameter: '{text}'"
            raise self.instruction.fault(problem, hint, word=self.instruction.chmod)
        return int(text, 8) if text else None

    def _find(self, tree: Tree, patterns: list[str]) -> tuple[str, ...]:
        paths: list[str] = []
        for pattern in patterns:
            try:
                paths += tree.find(pattern)
            except (FileNotFoundError, NotADirectoryError) as error:
                problem = f"stat {pattern.lstrip('/')}: file does not exist"
                if not self.source_id:
                    problem = f"file not found in build context or excluded by .dockerignore: {problem}"
                raise self._failed(f"{self._keyword} failed: {problem}") from error
        if not paths:
            raise self._failed(f"{self._keyword} failed: no source files were specified")
        return tuple(dict.fromkeys(paths))

    def _digests(self, paths: tuple[str, ...]) -> dict[str, str]:
        return self.shop.context.digests(list(paths))

    def _find_stage(self, name: str) -> None:
        """`--from`: a stage by name or number, else an image."""
        state = self.shop.stages.get(name.lower())
        if state is self.state:
            raise self.instruction.fault(f"{name} is this stage itself", word=self.instruction.stage)
        if state is not None:
            self.source_id, self.source_layers = state.parent or "scratch", list(state.layers)
            return
        try:
            image = self.shop.images.resolve(name)
        except NotFoundError as error:
            known = ", ".join(self.shop.stages) or "none"
            hint = f"neither a stage above this line ({known}) nor an image that is here"
            raise self.instruction.fault(
                f"invalid from flag value {name}: {error.message}", hint, word=self.instruction.stage
            ) from error
        self.source_id, self.source_layers = str(image.id), list(image.stack)

    def _write(self, heredocs: list[Heredoc]) -> Tree:
        folder: Path = self.shop.scratch().folder
        for heredoc in heredocs:
            content = heredoc.content
            if heredoc.expand:
                content = self._filled_in(heredoc)
            path = folder / "source-upper" / heredoc.name
            path.write_text(content)
            path.chmod(0o644)
        return Tree(folder / "source-upper")

    def _filled_in(self, heredoc: Heredoc) -> str:
        try:
            return expand(heredoc.content, self.state.variables, self.shop.escape, keep_quotes=True)
        except WordError as error:
            problem = f"in the heredoc {heredoc.name}: {error.problem}"
            raise self.instruction.fault(problem, error.expected) from error

    def _jobs(self, other: Tree | None) -> list[tuple[Tree, tuple[str, ...]]]:
        jobs = [(tree, paths) for tree, paths in self.jobs if tree is not None]
        if other is not None:
            paths = self._find(other, self.patterns)
            self._check_destination(len(paths))
            jobs.insert(0, (other, paths))
        return jobs

    def _job(self, root: RootFiles, paths: tuple[str, ...]) -> CopyJob:
        owner: tuple[int, int] | None = None if self.source_id else (0, 0)
        if self.chown:
            owner = look_up(root, self.chown)
        destination = posixpath.normpath(posixpath.join(self.state.working_dir, self.destination))
        if self._into_folder() and destination != "/":
            destination += "/"
        return CopyJob(paths, destination, owner, self.mode, unpack=self._keyword == "ADD")

    def _into_folder(self) -> bool:
        return self.destination.endswith(("/", "/.")) or self.destination in (".", "")

    def _check_destination(self, count: int) -> None:
        if count > 1 and not self._into_folder():
            raise self._failed(
                f"When using {self._keyword} with more than one source file, "
                "the destination must be a directory and end with a /"
            )

    def _failed(self, message: str, hint: str = "") -> BuildFailedError:
        line = self.instruction.line
        where = f"line {line.number} of the Dockerfile: {line.text}"
        return BuildFailedError(message, f"{hint}; {where}" if hint else where, line=line.number)

    @property
    def _keyword(self) -> str:
        return self.instruction.keyword


