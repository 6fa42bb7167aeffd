"""`hello-world`: a whole image whose only file is a program of a few hundred bytes, assembled here.

A Linux program needs surprisingly little: a header that says "this is ELF for that machine", one program
header that says "map this file at that address", and instructions. It has no C library; it asks the kernel
itself, twice: write(1, text, length) and exit(0). A system call is a number in a register, arguments in
others, and one instruction (`syscall` or `svc`) that changes over to the kernel.

    file offset 0    ELF header       64 bytes
               64    program header   56 bytes
              120    instructions, then the text

Sources: elf(5), syscall(2), syscalls(2), the instruction set manuals of both makers.
"""

from __future__ import annotations

import io
import platform
import struct
import tarfile

from cutaway.errors import NotPermittedError
from cutaway.layer.layers import Layers
from cutaway.oci.image import History, ImageConfig, RunConfig
from cutaway.store.images import Image, Images

NAME = "hello-world:latest"
CREATED = "2025-01-01T00:00:00Z"  # fixed: the image's digest is the same wherever it is made
GREETING = """
Hello from inside a container!

What wrote this text is a program of {size} bytes, the only file in its image. It ran as process 1, with a
file system, a network and a name of its own, on the same kernel as everything else on this machine.
A container lives as long as its first process: this one has just ended.

To look around in a container yourself:
  run -it --rm busybox sh

"""

_BASE = 0x400000  # where the file is mapped; any page would do
_HEADERS = 64 + 56
_STDOUT = 1


def greeting(machine: str = "") -> bytes:
    """The text, which tells the program's own size."""
    return _texts(machine or platform.machine())[1]


def program(machine: str = "") -> bytes:
    """The executable for `x86_64` or `aarch64`; this machine's by default.

    Raises NotPermittedError for a processor that this assembler does not know.
    """
    machine = machine or platform.machine()
    code, text = _texts(machine)
    return _headers(machine, _HEADERS + len(code) + len(text)) + code + text


def _texts(machine: str) -> tuple[bytes, bytes]:
    """Instructions and text. The size in the text changes the size; three digits stay three digits."""
    if machine not in _ASSEMBLERS:
        raise NotPermittedError(
            f"hello-world cannot be made for the processor {machine}", f"known are: {', '.join(_ASSEMBLERS)}"
        )
    text = GREETING.format(size="???").encode()
    code = _ASSEMBLERS[machine](len(text))
    size = _HEADERS + len(code) + len(text)
    return code, GREETING.format(size=size).encode()


def _headers(machine: str, size: int) -> bytes:
    ident = b"\x7fELF" + bytes([2, 1, 1, 0]) + bytes(8)  # 64 bit, little endian, version 1, System V
    executable, elf_machine = 2, {"x86_64": 62, "aarch64": 183}[machine]
    entry, program_headers, section_headers, flags = _BASE + _HEADERS, 64, 0, 0
    elf = struct.pack(
        "<HHIQQQIHHHHHH",
        *(executable, elf_machine, 1, entry, program_headers, section_headers, flags),
        *(64, 56, 1, 0, 0, 0),  # sizes and counts: this header, program headers (one), sections (none)
    )
    load, read_and_execute, page = 1, 4 | 1, 0x1000
    segment = struct.pack("<IIQQQQQQ", load, read_and_execute, 0, _BASE, _BASE, size, size, page)
    return ident + elf + segment


def _x86_64(length: int) -> bytes:
    """Number in eax, arguments in edi, rsi, edx; `lea rsi, [rip + n]` finds the text after the code."""
    before = b"\xb8" + struct.pack("<I", 1)  # mov eax, 1        write
    before += b"\xbf" + struct.pack("<I", _STDOUT)  # mov edi, 1
    after = b"\xba" + struct.pack("<I", length)  # mov edx, length
    after += b"\x0f\x05"  # syscall
    after += b"\xb8" + struct.pack("<I", 60)  # mov eax, 60       exit
    after += b"\x31\xff"  # xor edi, edi
    after += b"\x0f\x05"  # syscall
    return before + b"\x48\x8d\x35" + struct.pack("<i", len(after)) + after


def _aarch64(length: int) -> bytes:
    """Number in x8, arguments in x0, x1, x2; `adr x1, n` finds the text after the code."""

    def move(register: int, value: int) -> int:
        return 0xD2800000 | value << 5 | register  # movz x<register>, #value

    def address(register: int, distance: int) -> int:
        return 0x10000000 | (distance & 3) << 29 | distance >> 2 << 5 | register  # adr

    supervisor_call = 0xD4000001  # svc #0
    words = [move(0, _STDOUT), 0, move(2, length), move(8, 64), supervisor_call]  # write
    words += [move(0, 0), move(8, 93), supervisor_call]  # exit
    words[1] = address(1, 4 * (len(words) - 1))
    return struct.pack(f"<{len(words)}I", *words)


_ASSEMBLERS = {"x86_64": _x86_64, "aarch64": _aarch64}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Go's names, which images use, by the kernel's."""


def ensure_hello_world(images: Images, layers: Layers) -> Image | None:
    """Make the image unless something has its name; costs one look-up then. None on an unknown processor."""
    machine = platform.machine()
    known = images.database.image_named(NAME)
    if known is not None:
        return images.get(known)
    return make(images, layers, machine) if machine in ARCHITECTURES else None


def make(images: Images, layers: Layers, machine: str = "") -> Image:
    """Make the image and name it. Its id depends on the processor only."""
    machine = machine or platform.machine()
    with images.hold():
        layer = layers.import_tar(io.BytesIO(_tar(program(machine))))
        config = ImageConfig(
            architecture=ARCHITECTURES[machine],
            created=CREATED,
            config=RunConfig(cmd=["/hello"], env=["PATH=/"]),
            history=[
                History(created=CREATED, created_by="COPY hello /"),
                History(created=CREATED, created_by='CMD ["/hello"]', empty_layer=True),
            ],
        )
        return images.add(config, [layer], [NAME])


def _tar(content: bytes) -> bytes:
    info = tarfile.TarInfo("hello")
    info.size, info.mode = len(content), 0o755
    block = info.tobuf(tarfile.USTAR_FORMAT)
    return block + content + bytes(-len(content) % 512) + bytes(1024)
