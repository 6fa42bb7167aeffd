import os
import platform
import struct
import subprocess
from pathlib import Path

import pytest

from cutaway.bootstrap import hello
from cutaway.errors import NotPermittedError
from cutaway.layer.layers import Layers
from cutaway.store.content import ContentStore
from cutaway.store.database import Database
from cutaway.store.images import Images


def store(folder: Path) -> tuple[Images, Layers]:
    content = ContentStore(folder / "content")
    layers = Layers(folder / "layers", content)
    return Images(Database(folder / "engine.db"), content, layers), layers


@pytest.mark.skipif(platform.machine() not in hello.ARCHITECTURES, reason="no assembler for this processor")
def test_the_program_runs_here_and_says_its_own_size(tmp_path: Path):
    path = tmp_path / "hello"
    path.write_bytes(hello.program())
    path.chmod(0o755)
    done = subprocess.run([path], capture_output=True, check=True, env={})
    assert done.stdout == hello.greeting()
    assert f"a program of {path.stat().st_size} bytes" in done.stdout.decode()
    assert done.stdout.decode().rstrip().endswith("run -it --rm busybox sh")


@pytest.mark.parametrize(("machine", "number"), [("x86_64", 62), ("aarch64", 183)])
def test_the_program_is_a_small_static_elf(machine: str, number: int):
    program = hello.program(machine)
    assert len(program) < 1000
    assert program[:4] == b"\x7fELF"
    assert struct.unpack_from("<HH", program, 16) == (2, number)
    entry = struct.unpack_from("<Q", program, 24)[0]
    kind, _, offset, address, _, size = struct.unpack_from("<IIQQQQ", program, 64)
    assert (kind, offset, size) == (1, 0, len(program))
    assert entry == address + 120
    assert program.endswith(hello.greeting(machine))


def test_the_arm_instructions_are_the_ones_of_the_manual():
    code = hello.program("aarch64")[120:152]
    length = len(hello.greeting("aarch64"))
    assert struct.unpack("<8I", code) == (
        0xD2800020,  # movz x0, #1
        0x100000E1,  # adr  x1, +28
        0xD2800002 | length << 5,  # movz x2, #length
        0xD2800808,  # movz x8, #64   write
        0xD4000001,  # svc  #0
        0xD2800000,  # movz x0, #0
        0xD2800BA8,  # movz x8, #93   exit
        0xD4000001,  # svc  #0
    )


def test_other_processors_are_named():
    with pytest.raises(NotPermittedError) as caught:
        hello.program("riscv64")
    assert caught.value.message == "hello-world cannot be made for the processor riscv64"


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_image_has_the_same_id_wherever_it_is_made(tmp_path: Path, machine: str):
    first = hello.make(*store(tmp_path / "one"), machine)
    old = os.umask(0o077)
    try:
        second = hello.make(*store(tmp_path / "two"), machine)
    finally:
        os.umask(old)
    assert (first.id, first.manifest) == (second.id, second.manifest)
    assert first.config.architecture == hello.ARCHITECTURES[machine]


@pytest.mark.skipif(platform.machine() not in hello.ARCHITECTURES, reason="no assembler for this processor")
def test_it_is_made_only_when_its_name_is_free(tmp_path: Path):
    images, layers = store(tmp_path)
    made = hello.ensure_hello_world(images, layers)
    assert made is not None
    assert made.names == ("hello-world:latest",)
    assert made.config.config.cmd == ["/hello"]
    assert hello.ensure_hello_world(images, layers) == made
