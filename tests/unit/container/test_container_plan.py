"""A container's plan, without a kernel: what is asked for shows as steps, in an order that is safe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from cutaway.container.plan import Plan
from cutaway.container.planner import ExecRequest, Ground, environment, plan_container, plan_exec
from cutaway.container.records import Mount, Record
from cutaway.container.spec import Config, HostConfig
from cutaway.container.users import User
from cutaway.linux.recording import calls
from cutaway.settings import Settings

SETTINGS = Settings(Path("/root-folder"), Path("/socket"))
GROUND = Ground(lowers=("b/diff", "a/diff"), seccomp="AAAAAAAAAAA=", cgroup_trees=("memory",))


def record(*, mounts: list[Mount] | None = None, host: dict[str, Any] | None = None, **config: Any) -> Record:
    return Record(
        id="f" * 64,
        name="name",
        created="2024-01-01T00:00:00.000000000Z",
        image="sha256:" + "1" * 64,
        layers=[],
        config=msgspec.convert({"Cmd": ["true"], **config}, Config),
        host=msgspec.convert(host or {}, HostConfig),
        mounts=mounts or [],
    )


def kinds(plan: Plan) -> list[str]:
    return [type(step).__name__ for step in plan.inside]


def test_a_plan_survives_the_way_to_the_keeper() -> None:
    plan = plan_container(record(Tty=True, WorkingDir="/w"), SETTINGS, GROUND)
    again = Plan.from_json(msgspec.json.decode(msgspec.json.encode(plan.to_json())))
    assert again == plan
    assert again.clone_flags == plan.clone_flags != 0


def test_the_order_keeps_the_host_out_of_reach() -> None:
    mounts = [Mount("bind", "/in", "/host/folder")]
    order = kinds(plan_container(record(mounts=mounts, host={"ReadonlyRootfs": True}), SETTINGS, GROUND))
    assert order[0] == "JoinCgroup"
    assert order[-1] == "Exec"
    assert max(i for i, kind in enumerate(order) if kind == "OpenTree") < order.index("EnterRoot")
    for kind in ("MountProc", "MountTmpfs", "AttachTree", "MaskPaths"):
        assert order.index(kind) > order.index("EnterRoot")
    for earlier, later in zip(
        ("MountOverlay", "EnterRoot", "LeaveOldRoot", "RemountRootReadonly", "SetUser", "SetCapabilities"),
        ("EnterRoot", "LeaveOldRoot", "RemountRootReadonly", "SetUser", "SetCapabilities", "DieWithKeeper"),
        strict=True,
    ):
        assert order.index(earlier) < order.index(later)


def test_every_step_can_be_explained_and_recorded() -> None:
    plan = plan_container(record(Tty=True, Domainname="d", host={"Memory": 1 << 24}), SETTINGS, GROUND)
    for step in (*plan.before, *plan.inside, *plan.after):
        assert step.describe()
        assert isinstance(calls(step), list)


def test_the_filter_comes_after_no_new_privs_when_that_is_asked_for() -> None:
    usual = kinds(plan_container(record(), SETTINGS, GROUND))
    assert usual.index("LoadSeccomp") < usual.index("SetUser")
    asked = kinds(plan_container(record(host={"SecurityOpt": ["no-new-privileges"]}), SETTINGS, GROUND))
    assert asked.index("SetNoNewPrivs") < asked.index("LoadSeccomp")


@pytest.mark.parametrize(
    ("host", "missing"),
    [({"NetworkMode": "host"}, "net"), ({"PidMode": "host"}, "pid"), ({"IpcMode": "host"}, "ipc")],
)
def test_what_is_shared_with_the_host_is_not_made_anew(host: dict[str, Any], missing: str) -> None:
    everything = {"mnt", "uts", "ipc", "pid", "net"}
    assert set(plan_container(record(host=host), SETTINGS, GROUND).namespaces) == everything - {missing}


def test_limits_reach_the_control_group() -> None:
    host = {"Memory": 64 << 20, "NanoCpus": 1_500_000_000, "PidsLimit": 7}
    described = plan_container(record(host=host), SETTINGS, GROUND).before[0].describe()
    assert described.endswith("memory 67108864 bytes, 1.5 cpus, 7 processes")


def test_privileged_means_no_filter_no_masks_and_all_devices() -> None:
    order = kinds(plan_container(record(host={"Privileged": True}), SETTINGS, Ground(lowers=())))
    assert not {"LoadSeccomp", "MaskPaths", "ReadonlyPaths"} & set(order)


def test_variables_are_dockers_and_the_last_word_wins() -> None:
    made = environment(record(Env=["PATH=/mine", "A=1"], Hostname="h"), "/home/x", ("A=2",), tty=True)
    assert made == ("PATH=/mine", "HOSTNAME=h", "TERM=xterm", "HOME=/home/x", "A=2")


def test_an_exec_enters_what_the_container_has_of_its_own() -> None:
    running = record(host={"NetworkMode": "host"})
    running.state.pid = 77
    plan = plan_exec(running, SETTINGS, ExecRequest(("ls",)), User())
    assert plan.pid_namespace_of == 77
    assert plan.inside[1].describe() == "join the namespaces mnt, uts, ipc, cgroup of process 1"
    assert kinds(plan)[-1] == "Exec"
