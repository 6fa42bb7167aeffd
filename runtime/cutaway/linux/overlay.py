"""Overlayfs: an image's layers and a container's changes as one directory tree.

The lower directories are the layers, never written. The upper directory takes every change: a changed file is
copied up first, a removed one is covered by a character device 0:0, a directory made anew carries an "opaque"
mark. `work` is overlayfs's own scratch beside the upper one.

mount(2) reads its options from one page, 4096 bytes. Names are therefore short and relative to `layers_dir`,
so that 127 layers fit; beyond a page, options are handed over one at a time with `fsconfig`.

With `volatile` nothing is synced to disk, which makes unmounting fast and a crash of the machine costly:
overlayfs leaves a mark in `work` and refuses to mount such an upper directory again. A container's writable
layer is made to be thrown away, so we remove the mark.
"""

from __future__ import annotations

from dataclasses import dataclass

from cutaway.linux.constants import AT_FDCWD, MOVE_MOUNT_F_EMPTY_PATH
from cutaway.linux.step import Context, Step

_PAGE = 4095  # the last byte is the string's end


@dataclass(frozen=True, slots=True)
class MountOverlay(Step):
    """Stack `lowers` (topmost first) and `upper` at `target`.

    `lowers`, `upper` and `work` may be relative to `layers_dir`, which becomes the current directory;
    `target` is absolute. At most 500 lowers (the kernel's own limit).
    """

    layers_dir: str
    lowers: tuple[str, ...]
    upper: str
    work: str
    target: str
    volatile: bool = True

    def describe(self) -> str:
        count = len(self.lowers)
        return f"stack {count} layer{'' if count == 1 else 's'} and a writable one at {self.target}"

    def execute(self, context: Context) -> None:
        context.kernel.chdir(self.layers_dir)
        context.kernel.remove_tree(f"{self.work}/work")
        lowers = ":".join(_escaped(lower).replace(":", "\\:") for lower in self.lowers)
        options = f"lowerdir={lowers},upperdir={_escaped(self.upper)},workdir={_escaped(self.work)}"
        if self.volatile:
            options += ",volatile"
        if len(options.encode()) <= _PAGE:
            context.kernel.mount("overlay", self.target, "overlay", 0, options)
        else:
            self._mount_piece_by_piece(context)

    def _mount_piece_by_piece(self, context: Context) -> None:
        kernel = context.kernel
        overlay = kernel.fsopen("overlay")
        try:
            for lower in self.lowers:
                kernel.fsconfig(overlay, "lowerdir+", lower)
            kernel.fsconfig(overlay, "upperdir", self.upper)
            kernel.fsconfig(overlay, "workdir", self.work)
            if self.volatile:
                kernel.fsconfig_flag(overlay, "volatile")
            tree = kernel.fsmount(overlay, 0)
        finally:
            kernel.close(overlay)
        kernel.move_mount(tree, "", AT_FDCWD, self.target, MOVE_MOUNT_F_EMPTY_PATH)
        kernel.close(tree)


def _escaped(path: str) -> str:
    return path.replace("\\", "\\\\").replace(",", "\\,")
