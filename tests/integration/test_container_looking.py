"""Looking at containers: lists with filters, top with the options of ps, inspect in Docker's shape, prune."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import docker.errors
import pytest
from harness import EngineProcess

pytestmark = pytest.mark.root

Run = Callable[..., subprocess.CompletedProcess[str]]

HOST_CONFIG = """
    AutoRemove Binds BlkioDeviceReadBps BlkioDeviceReadIOps BlkioDeviceWriteBps BlkioDeviceWriteIOps
    BlkioWeight BlkioWeightDevice CapAdd CapDrop Cgroup CgroupParent CgroupnsMode ConsoleSize ContainerIDFile
    CpuCount CpuPercent CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime CpuShares CpusetCpus
    CpusetMems DeviceCgroupRules DeviceRequests Devices Dns DnsOptions DnsSearch ExtraHosts GroupAdd
    IOMaximumBandwidth
    IOMaximumIOps IpcMode Isolation Links LogConfig MaskedPaths Memory MemoryReservation MemorySwap
    MemorySwappiness NanoCpus NetworkMode OomKillDisable OomScoreAdj PidMode PidsLimit PortBindings Privileged
    PublishAllPorts ReadonlyPaths ReadonlyRootfs RestartPolicy Runtime SecurityOpt ShmSize UTSMode Ulimits
    UsernsMode VolumeDriver VolumesFrom
"""
CONFIG = """
    AttachStderr AttachStdin AttachStdout Cmd Domainname Entrypoint Env Hostname Image Labels OnBuild
    OpenStdin StdinOnce Tty User Volumes WorkingDir
"""
EVERYTHING = """
    AppArmorProfile Args Config Created Driver ExecIDs GraphDriver HostConfig HostnamePath HostsPath Id Image
    LogPath MountLabel Mounts Name NetworkSettings Path Platform ProcessLabel ResolvConfPath RestartCount
    State
"""


@pytest.fixture
def several(client: Any) -> Any:
    """One that runs, with a label, a volume and ports; one that failed; one that was only made."""
    client.containers.run(
        "busybox",
        "sleep 900",
        name="web-1",
        detach=True,
        labels={"tier": "front"},
        volumes={"looked-at": {"bind": "/data"}},
        ports={"80/tcp": ("127.0.0.1", None), "53/udp": None},
        network_mode="bridge",
    )
    with pytest.raises(docker.errors.ContainerError):
        client.containers.run("busybox", "sh -c 'exit 3'", name="job", labels={"tier": "back", "team": "a"})
    client.containers.create("busybox", "true", name="later", healthcheck={"test": ["CMD", "true"]})
    return client


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        (["status=exited"], {"job"}),
        (["status=exited", "status=created"], {"job", "later"}),
        (["exited=3"], {"job"}),
        (["exited=0"], set()),
        (["name=web"], {"web-1"}),
        (["name=^/web-[0-9]$"], {"web-1"}),
        (["name=^web$"], set()),
        (["label=tier"], {"web-1", "job"}),
        (["label=tier", "label=team=a"], {"job"}),
        (["volume=looked-at"], {"web-1"}),
        (["volume=/data"], {"web-1"}),
        (["expose=80"], {"web-1"}),
        (["expose=80-90/tcp"], {"web-1"}),
        (["expose=53/udp"], {"web-1"}),
        (["expose=53"], set()),
        (["publish=80"], set()),
        (["network=bridge"], {"web-1", "job", "later"}),
        (["ancestor=busybox"], {"web-1", "job", "later"}),
        (["ancestor=nothing"], set()),
        (["health=none"], {"web-1", "job", "later"}),
        (["is-task=true"], set()),
        (["since=job"], {"later"}),
        (["before=job"], {"web-1"}),
        (["label=tier", "status=running"], {"web-1"}),
    ],
)
def test_a_list_holds_what_its_filters_let_pass(
    engine: EngineProcess, several: Any, filters: list[str], names: set[str]
) -> None:
    words = [word for text in filters for word in ("--filter", text)]
    listed = engine.run(
        sys.executable, "-m", "cutaway.cli.main", "ps", "-a", *words, "--format", "{{.Names}}"
    )
    assert (listed.stderr, set(listed.stdout.split())) == ("", names)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour=red", "invalid filter 'colour'"),
        ("status=asleep", "invalid filter 'status=asleep'"),
        ("health=fine", "invalid filter 'health=fine'"),
        ("exited=never", "invalid filter 'exited=never'"),
        ("publish=http", "invalid filter 'publish=http'"),
        ("since=nobody", "No such container: nobody"),
    ],
)
def test_a_wrong_filter_is_named(cli: Run, text: str, message: str) -> None:
    done = cli("ps", "--filter", text)
    assert done.returncode == 1
    assert message in done.stderr


def test_an_inspection_has_every_field_that_docker_has(client: Any) -> None:
    made = client.containers.create("busybox", "true", volumes={"/tmp": {"bind": "/t", "mode": "ro"}})
    seen = client.api.inspect_container(made.id)
    assert set(EVERYTHING.split()) - set(seen) == set()
    assert set(HOST_CONFIG.split()) - set(seen["HostConfig"]) == set()
    assert set(CONFIG.split()) - set(seen["Config"]) == set()
    assert seen["Mounts"] == [
        {
            "Type": "bind",
            "Source": "/tmp",
            "Destination": "/t",
            "Mode": "ro",
            "RW": False,
            "Propagation": "rprivate",
        }
    ]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.State.Status}} {{.State.ExitCode}} {{.State.Health}}", "running 0 <nil>"),
        ('{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostIp}}', "127.0.0.1"),
        ("{{range .Mounts}}{{.Type}}:{{.Name}}:{{.Destination}};{{end}}", "volume:looked-at:/data;"),
        (
            '{{index .Config.Labels "tier"}}|{{index .Config.Labels "none"}}|{{.Config.Labels.none}}',
            "front||<no value>",
        ),
        ("{{range $name, $net := .NetworkSettings.Networks}}{{$name}}{{end}}", "bridge"),
        ("{{if .State.Running}}up{{else}}down{{end}}{{with .State.Error}}!{{end}}", "up"),
        (
            "{{index .Config.Cmd 0}} {{json .Args}} {{len .Args}} {{.HostConfig.Dns}}",
            'sleep ["900"] 1 []',
        ),
    ],
)
def test_templates_say_the_same_on_both_clients(several: Any, cli: Run, template: str, text: str) -> None:
    assert cli("inspect", "-f", template, "web-1").stdout == f"{text}\n"


def test_a_template_for_a_field_that_is_not_there_fails(several: Any, cli: Run) -> None:
    done = cli("inspect", "-f", "{{.Nope}}", "web-1")
    assert (done.returncode, done.stdout.strip()) == (1, "")
    assert 'map has no entry for key "Nope"' in done.stderr


def test_top_takes_the_options_of_ps(several: Any, cli: Run) -> None:
    assert cli("top", "web-1").stdout.split()[:4] == ["UID", "PID", "PPID", "C"]
    pid = several.api.inspect_container("web-1")["State"]["Pid"]
    lines = cli("top", "web-1", "-o", "pid,args").stdout.splitlines()
    assert [line.split() for line in lines] == [["PID", "COMMAND"], [str(pid), "sleep", "900"]]
    assert cli("top", "web-1", "aux").stdout.splitlines()[1].split()[1] == str(pid)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "comm"], "Couldn't find PID field in ps output"),
        (["-o", "comm=PID"], "is not allowed"),
        (["--no-such-option"], "ps --no-such-option: "),
    ],
)
def test_top_refuses_what_hides_the_processes(
    several: Any, cli: Run, options: list[str], message: str
) -> None:
    done = cli("top", "web-1", *options)
    assert done.returncode == 1
    assert message in done.stderr


def test_prune_removes_what_does_not_run_and_its_filters_let_pass(
    engine: EngineProcess, several: Any, cli: Run
) -> None:
    assert "Total reclaimed space: 0B" in cli("container", "prune", "-f", "--filter", "until=24h").stdout
    assert cli("container", "prune", "-f", "--filter", "label=none").returncode == 0
    assert len(several.containers.list(all=True)) == 3
    done = cli("container", "prune", "-f", "--filter", "label!=tier")
    assert done.stdout.splitlines()[0] == "Deleted Containers:"
    assert {item.name for item in several.containers.list(all=True)} == {"web-1", "job"}
    assert cli("container", "prune", "-f", "--filter", f"until={int(time.time()) + 5}").returncode == 0
    assert {item.name for item in several.containers.list(all=True)} == {"web-1"}
    refused = cli("container", "prune", "-f", "--filter", "colour=red")
    assert (refused.returncode, "invalid filter 'colour'" in refused.stderr) == (1, True)


def test_prune_asks_first(several: Any, cli: Run) -> None:
    asked = cli("container", "prune", input="n\n")
    assert "This will remove all stopped containers" in asked.stdout
    assert len(several.containers.list(all=True)) == 3
    assert cli("container", "prune", input="y\n").returncode == 0
    assert len(several.containers.list(all=True)) == 1


def test_the_longer_names_do_the_same(several: Any, cli: Run) -> None:
    names = {cli("container", word, "--format", "{{.Names}}").stdout for word in ("ls", "list", "ps")}
    assert names == {"web-1\n"}
    assert cli("container", "inspect", "-f", "{{.Name}}", "web-1").stdout == "/web-1\n"
