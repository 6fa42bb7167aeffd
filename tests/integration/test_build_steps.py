"""Builds on real layers: what each instruction leaves in the image, in the cache and on the disk."""

from __future__ import annotations

import asyncio
import io
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from build_bench import Bench, folder, kinds, link, tar_of

from cutaway.build.failures import BuildFailedError, DockerfileError
from cutaway.build.options import BuildOptions, RunRequest
from cutaway.errors import BadInputError
from cutaway.store.images import Image

pytestmark = pytest.mark.root


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    made.add_base()
    yield made
    made.close()
    assert list((tmp_path / "tmp").glob("*")) == [], "a build left something half made"


def history(image: Image) -> list[tuple[str, bool]]:
    return [(entry.created_by, entry.empty_layer) for entry in image.config.history or []]


def test_a_build_is_told_as_dockers_classic_builder_tells_it(bench: Bench) -> None:
    image = bench.build('FROM base\nRUN echo hi\nCMD ["sh"]\n', tags=("web",))
    shown = re.sub(r"\b[0-9a-f]{12}\b", "ID", bench.shown)
    assert shown == (
        "Step 1/3 : FROM base\n"
        " ---> ID\n"
        "Step 2/3 : RUN echo hi\n"
        " ---> Running in ID\n"
        "hi\n"
        "Removing intermediate container ID\n"
        " ---> ID\n"
        'Step 3/3 : CMD ["sh"]\n'
        " ---> ID\n"
        "Successfully built ID\n"
        "Successfully tagged web:latest\n"
    )
    assert {"aux": {"ID": str(image.id)}} in bench.messages
    assert image.names == ("web:latest",)


def test_settings_end_up_in_the_config_and_in_the_history(bench: Bench) -> None:
    image = bench.build(
        "FROM base\n"
        "ARG who=ann\n"
        "ENV name=$who two='a b'\n"
        "ENV legacy all of it\n"
        'LABEL org.example.by="$name"\n'
        "WORKDIR /a\n"
        "WORKDIR b/../c\n"
        "EXPOSE 80 53/udp\n"
        "VOLUME /data\n"
        "USER ann\n"
        "STOPSIGNAL SIGINT\n"
        "MAINTAINER someone\n"
        "ENTRYPOINT exec top\n"
        'CMD ["-b"]\n'
    )
    config = image.config.config
    assert config.env == ["PATH=/usr/bin:/bin", "name=ann", "two=a b", "legacy=all of it"]
    assert config.labels == {"org.example.by": "ann"}
    assert (config.working_dir, config.user, config.stop_signal) == ("/a/c", "ann", "SIGINT")
    assert (config.exposed_ports, config.volumes) == ({"80/tcp": {}, "53/udp": {}}, {"/data": {}})
    assert (config.entrypoint, config.cmd) == (["/bin/sh", "-c", "exec top"], ["-b"])
    assert image.config.author == "someone"
    assert history(image)[:3] == [
        ("ARG who=ann", True),
        ("ENV name=ann two=a b", True),
        ("ENV legacy=all of it", True),
    ]
    assert ("WORKDIR /a", False) in history(image)


def test_an_entrypoint_takes_the_base_images_command_away(bench: Bench) -> None:
    assert bench.build('FROM base\nENTRYPOINT ["top"]').config.config.cmd is None


def test_each_run_is_a_layer_and_one_that_changes_nothing_is_none(bench: Bench) -> None:
    image = bench.build("FROM base\nRUN echo one > /one\nRUN true\nRUN rm /one")
    assert len(image.layers) == 3
    assert history(image) == [
        ("RUN /bin/sh -c echo one > /one", False),
        ("RUN /bin/sh -c true", True),
        ("RUN /bin/sh -c rm /one", False),
    ]
    assert kinds(bench.layers.diff(image.layers[1])) == {"one": "-rw-r--r--"}
    assert kinds(bench.layers.diff(image.layers[2])) == {"one": "c---------"}


def test_every_step_is_an_image_whose_parent_is_the_step_before(bench: Bench) -> None:
    base = bench.images.resolve("base")
    image = bench.build("FROM base\nENV a=1\nRUN echo > /x")
    before = bench.images.get(image.parent)
    assert (before.parent, before.config.config.env) == (str(base.id), ["PATH=/usr/bin:/bin", "a=1"])


def test_run_sees_env_args_and_the_working_folder(bench: Bench) -> None:
    bench.build(
        "FROM base\nARG token\nENV name=value\nWORKDIR /made/here\nRUN echo $token $name $PWD",
        arguments={"token": "s3cret"},
    )
    assert "s3cret value /made/here\n" in bench.shown


def test_a_build_argument_is_written_down_for_ever(bench: Bench) -> None:
    image = bench.build("FROM base\nARG token\nRUN true", arguments={"token": "s3cret"})
    assert history(image)[-1] == ("RUN |1 token=s3cret /bin/sh -c true", True)


def test_a_run_heredoc_is_a_script(bench: Bench) -> None:
    bench.build("FROM base\nRUN <<EOF\necho one\necho two\nEOF\n")
    assert "one\ntwo\n" in bench.shown


def test_shell_changes_what_the_shell_form_is_given_to(bench: Bench) -> None:
    image = bench.build('FROM base\nSHELL ["/bin/busybox", "echo"]\nRUN a $b\nCMD c')
    assert "a $b\n" in bench.shown
    assert image.config.config.cmd == ["/bin/busybox", "echo", "c"]


# COPY


def test_copy_puts_files_under_their_name_or_the_given_one(bench: Bench) -> None:
    files = {"a.txt": "A", "d/b.txt": "B", "d/e/c.txt": "C"}
    copies = "COPY a.txt .\nCOPY a.txt /new/name\nCOPY d /all/\nCOPY d/*.txt *.txt /t/\n"
    image = bench.build(f"FROM base\nWORKDIR /w\n{copies}", files)
    shown = bench.look(image, "cd / && busybox find w new all t -type f | busybox sort")
    assert shown.split() == ["all/b.txt", "all/e/c.txt", "new/name", "t/a.txt", "t/b.txt", "w/a.txt"]


def test_copy_follows_the_links_of_the_image_inside_it(bench: Bench) -> None:
    image = bench.build("FROM base\nCOPY x /var/run/y\nCOPY x /bin/x\nCOPY x /up/", {"x": "hi"})
    assert bench.look(image, "cat /run/y /usr/bin/x; busybox readlink /bin") == "hihiusr/bin\n"


def test_a_link_out_of_the_image_leads_nowhere(bench: Bench, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    bench.add_base("trap", {"out": link(f"{'../' * 20}{outside}"), "gone": link(str(outside / "new"))})
    image = bench.build("FROM trap\nCOPY x /out/x\nCOPY x /gone", {"x": "hi"})
    assert list(outside.iterdir()) == []
    assert bench.look(image, f"cat {outside}/x {outside}/new") == "hihi"


def test_folders_that_exist_keep_their_mode_and_owner(bench: Bench) -> None:
    image = bench.build("FROM base\nCOPY x /srv/x\nCOPY d /\n", {"x": "1", "d/srv/y": "2", "d/bin/z": "3"})
    assert bench.look(image, "busybox stat -c '%a %u %g' /srv") == "2770 7 8\n"
    assert bench.look(image, "cat /srv/x /srv/y /usr/bin/z; busybox readlink /bin") == "123usr/bin\n"
    assert bench.look(image, "busybox ls /etc") == "group\npasswd\n"


def test_copied_files_belong_to_root_keep_their_mode_and_time(bench: Bench) -> None:
    program = tarfile.TarInfo()
    program.mode, program.uid, program.gid, program.mtime = 0o750, 77, 77, 1_500_000_000
    image = bench.build("FROM base\nCOPY p /p\n", {"p": program})
    assert bench.look(image, "busybox stat -c '%a %u %g %Y' /p") == "750 0 0 1500000000\n"


def test_chown_and_chmod_are_obeyed_and_names_are_the_images(bench: Bench) -> None:
    dockerfile = "FROM base\nCOPY --chown=ann --chmod=604 x /n/x\nCOPY --chown=5:ann x /y\n"
    image = bench.build(dockerfile, {"x": ""})
    shown = bench.look(image, "busybox stat -c '%a %u %g' /n/x /n /y")
    assert shown == "604 1000 1001\n755 1000 1001\n644 5 1001\n"


def test_a_user_that_the_image_does_not_know_is_refused(bench: Bench) -> None:
    with pytest.raises(BuildFailedError, match="no such user: bob") as caught:
        bench.build("FROM base\nCOPY --chown=bob x /x\n", {"x": ""})
    assert caught.value.line == 2


def test_copy_takes_from_another_stage_and_from_an_image(bench: Bench) -> None:
    image = bench.build(
        "FROM base AS maker\nRUN echo made > /made && busybox chown 5:6 /made\n"
        "FROM scratch\nCOPY --from=maker /made /from-stage\n"
        "COPY --from=base /etc /etc\nCOPY --from=0 /ma* /again/\n"
    )
    layers = [kinds(bench.layers.diff(layer)) for layer in image.layers]
    assert [set(layer) for layer in layers] == [
        {"from-stage"},
        {"etc", "etc/group", "etc/passwd"},
        {"again", "again/made"},
    ]
    status = (bench.layers.diff(image.layers[0]) / "from-stage").stat()
    assert (status.st_uid, status.st_gid) == (5, 6)


def test_a_copy_heredoc_is_a_file(bench: Bench) -> None:
    image = bench.build("FROM base\nENV who=ann\nCOPY <<one <<'two' /to/\nhi \"$who\" \\$x\none\n$who\ntwo\n")
    assert bench.look(image, "cat /to/one /to/two") == 'hi "ann" $x\n$who\n'


def test_add_unpacks_an_archive_and_copy_does_not(bench: Bench) -> None:
    archive = tar_of({"in/side": "S"}).getvalue()
    dockerfile = "FROM base\nADD a.tar /u/\nCOPY a.tar /c/\nADD plain /u/\n"
    image = bench.build(dockerfile, {"a.tar": archive, "plain": "P"})
    assert bench.look(image, "cat /u/in/side /u/plain; busybox ls /c") == "SPa.tar\n"


def test_sources_cannot_lead_out_of_the_context(bench: Bench) -> None:
    files = {"passwd": "mine", "abs": link("/passwd"), "up": link("../../../../passwd"), "d/x": ""}
    image = bench.build("FROM base\nCOPY ../../passwd /1\nCOPY abs /2\nCOPY up /3\n", files)
    assert bench.look(image, "cat /1 /2 /3") == "minemine" + "mine"


def test_a_context_that_leads_out_is_refused(bench: Bench) -> None:
    with pytest.raises(BadInputError, match=r"\.\./evil"):
        bench.build("FROM base", {"../evil": "x"})


def test_dockerignore_is_obeyed_but_the_dockerfile_is_still_read(bench: Bench) -> None:
    files = {".dockerignore": "*\n!keep\n", "keep": "", "drop": "", "d/e": ""}
    image = bench.build("FROM base\nCOPY . /c/\n", files)
    assert bench.look(image, "busybox ls -A /c") == "keep\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "COPY nosuch /",
            "COPY failed: file not found in build context or excluded by .dockerignore: "
            "stat nosuch: file does not exist",
        ),
        ("COPY no* /", "COPY failed: no source files were specified"),
        (
            "COPY a b /file",
            "When using COPY with more than one source file, "
            "the destination must be a directory and end with a /",
        ),
        ("COPY --from=base /nosuch /", "COPY failed: stat nosuch: file does not exist"),
        ("COPY a /etc/passwd/x", "cannot copy to non-directory: /etc/passwd"),
        ("COPY f /clash/", "cannot copy the file f/n over the folder /clash/n"),
    ],
)
def test_a_copy_that_cannot_be_says_why_and_on_which_line(bench: Bench, line: str, message: str) -> None:
    with pytest.raises(BuildFailedError) as caught:
        bench.build(f"FROM base\nRUN busybox mkdir -p /clash/n\n{line}\n", {"a": "", "b": "", "f/n": ""})
    assert caught.value.message == message
    assert caught.value.line == 3
    assert f"line 3 of the Dockerfile: {line}" in caught.value.hint


# the cache


def test_the_same_build_again_comes_from_the_cache_whatever_the_times(bench: Bench) -> None:
    dockerfile = "FROM base\nENV a=1\nWORKDIR /w\nCOPY x .\nRUN echo > /y\nCMD sh\n"
    first = bench.build(dockerfile, {"x": "1"})
    touched = tarfile.TarInfo()
    touched.mtime = 5
    second = bench.build(dockerfile, {"x": "1", "unused": touched})
    assert second.id == first.id
    assert len(bench.runs) == 1
    assert bench.shown.count(" ---> Using cache\n") == 5


@pytest.mark.parametrize(
    ("dockerfile", "files", "arguments", "reasons"),
    [
        (
            "FROM base\nARG v\nCOPY d /d\nRUN echo $v\n",
            {"d/x": "2", "d/y": "1"},
            {"v": "1"},
            ["file d/x changed", "nothing was built on this parent before"],
        ),
        (
            "FROM base\nARG v\nCOPY d /d\nRUN echo $v\n",
            {"d/x": "1", "d/y": "1"},
            {"v": "2"},
            ["build argument v changed"],
        ),
        (
            "FROM base\nARG v\nCOPY d /e\nRUN echo $v\n",
            {"d/x": "1", "d/y": "1"},
            {"v": "1"},
            ["the instruction is new or changed", "nothing was built on this parent before"],
        ),
    ],
)
def test_a_miss_says_what_is_different(
    bench: Bench, dockerfile: str, files: dict[str, str], arguments: dict[str, str], reasons: list[str]
) -> None:
    bench.build("FROM base\nARG v\nCOPY d /d\nRUN echo $v\n", {"d/x": "1", "d/y": "1"}, arguments={"v": "1"})
    bench.build(dockerfile, files, arguments=arguments)
    assert [step["reason"] for step in bench.steps() if not step["cached"] and step["reason"]] == reasons


def test_no_cache_does_everything_again(bench: Bench) -> None:
    first = bench.build("FROM base\nRUN echo > /x\n")
    second = bench.build("FROM base\nRUN echo > /x\n", no_cache=True)
    assert first.id != second.id
    assert len(bench.runs) == 2


def test_the_record_of_a_build_says_line_time_layer_and_cache(bench: Bench) -> None:
    image = bench.build("FROM base\n\nRUN echo \\\n  > /x\nCMD sh\n")
    steps = bench.builder.records.read(str(image.id))
    assert [(step["line"], step["cached"], bool(step["layer"])) for step in steps] == [
        (1, False, False),
        (3, False, True),
        (5, False, False),
    ]
    assert steps[1]["layer"] == str(image.layers[-1])
    assert bench.builder.records.read("sha256:" + "0" * 64) == []


# what goes wrong


def test_a_failing_run_says_code_and_line_and_keeps_the_steps_before_it(bench: Bench) -> None:
    dockerfile = "FROM base\nRUN echo > /x\nRUN echo half > /half; exit 3\nCMD sh\n"
    with pytest.raises(BuildFailedError) as caught:
        bench.build(dockerfile, tags=("never",))
    error = caught.value
    assert error.message == "The command '/bin/sh -c echo half > /half; exit 3' returned a non-zero code: 3"
    assert (error.code, error.line) == (3, 3)
    last = bench.steps()[-1]["image"].removeprefix("sha256:")[:12]
    look = f"look around in the state before it: run -it --rm {last} sh"
    assert error.hint == f"line 3 of the Dockerfile; {look}"
    with pytest.raises(BuildFailedError):
        bench.build(dockerfile)
    assert [step["cached"] for step in bench.steps()] == [False, True]
    assert bench.database.image_named("never:latest") is None


def test_a_run_on_nothing_says_so(bench: Bench) -> None:
    with pytest.raises(BuildFailedError) as caught:
        bench.build("FROM scratch\nRUN true")
    assert caught.value.message == "RUN failed: FROM scratch is empty"


def test_a_client_that_goes_away_ends_the_build(bench: Bench) -> None:
    async def emit(message: dict[str, object]) -> None:
        if "Running" in str(message.get("stream")):
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        asyncio.run(bench.builder.build(BuildOptions(), tar_of({"Dockerfile": "FROM base\nRUN true"}), emit))


def test_an_unknown_base_image_says_how_to_get_one(bench: Bench) -> None:
    with pytest.raises(BuildFailedError) as caught:
        bench.build("FROM nosuch")
    assert caught.value.message == "No such image: nosuch:latest"
    assert caught.value.hint == "line 1 needs it; busybox and debian are made with: cutaway images bootstrap"


def test_a_broken_dockerfile_is_refused_before_anything_is_said(bench: Bench) -> None:
    with pytest.raises(DockerfileError, match="unknown instruction: RNU"):
        bench.build("FROM base\nRNU x")
    assert bench.messages == []


def test_a_missing_dockerfile_is_told_in_dockers_words(bench: Bench) -> None:
    with pytest.raises(DockerfileError) as caught:
        bench.build("FROM base", dockerfile="Other")
    assert caught.value.message == "Cannot locate specified Dockerfile: Other"


def test_a_context_that_is_no_archive_is_refused(bench: Bench) -> None:
    async def emit(message: object) -> None:
        raise AssertionError(message)

    with pytest.raises(BadInputError, match="damaged archive"):
        asyncio.run(bench.builder.build(BuildOptions(), io.BytesIO(b"no tar at all" * 100), emit))


def test_a_variable_error_points_into_its_line(bench: Bench) -> None:
    with pytest.raises(DockerfileError) as caught:
        bench.build("FROM base\nENV a=1 \\\n  b=${nosuch:?missing}\n")
    assert caught.value.message == (
        "dockerfile parse error line 3: nosuch: missing\n  3 |   b=${nosuch:?missing}\n    |     ^"
    )


def test_a_cancelled_build_leaves_nothing_half_made(bench: Bench) -> None:
    async def cancelled() -> None:
        reached = asyncio.Event()

        async def hang(request: RunRequest) -> None:
            reached.set()
            await asyncio.Event().wait()

        bench.on_run = hang
        building = asyncio.create_task(bench.building("FROM base\nENV a=1\nRUN sleep 1000\n", tags=("x",)))
        await reached.wait()
        building.cancel()
        with pytest.raises(asyncio.CancelledError):
            await building

    asyncio.run(cancelled())
    assert bench.database.image_named("x:latest") is None


# options


def test_labels_of_the_command_line_are_a_last_step(bench: Bench) -> None:
    image = bench.build("FROM base", labels={"it's": "a $b", "k": ""})
    assert image.config.config.labels == {"it's": "a $b", "k": ""}
    assert "Step 2/2 : LABEL" in bench.shown


def test_the_target_ends_the_build_and_an_unknown_one_is_refused(bench: Bench) -> None:
    dockerfile = "FROM base AS one\nENV a=1\nFROM base AS two\nRUN false\n"
    assert bench.build(dockerfile, target="one").config.config.env == ["PATH=/usr/bin:/bin", "a=1"]
    with pytest.raises(BadInputError) as caught:
        bench.build(dockerfile, target="three")
    assert (caught.value.message, caught.value.hint) == (
        "failed to reach build target three in Dockerfile",
        "the stages are: one, two",
    )


def test_arguments_before_from_choose_the_base_and_unused_ones_are_told(bench: Bench) -> None:
    dockerfile = "ARG from=nosuch\nFROM $from\nARG from\nRUN echo $from\n"
    bench.build(dockerfile, arguments={"from": "base", "odd": "1"})
    assert "\nbase\n" in bench.shown
    assert "[Warning] One or more build-args [odd] were not consumed\n" in bench.shown


def test_quiet_says_nothing_but_the_id(bench: Bench) -> None:
    image = bench.build("FROM base\nRUN echo hi", quiet=True)
    assert bench.messages == [{"stream": f"{image.id}\n"}]


def test_a_new_folder_under_tmp_is_not_what_copy_makes_of_tmp(bench: Bench) -> None:
    bench.add_base("sticky", {"tmp/": folder(0o1777)})
    image = bench.build("FROM sticky\nCOPY x /tmp/n/x\n", {"x": ""})
    assert bench.look(image, "busybox stat -c %a /tmp /tmp/n") == "1777\n755\n"
