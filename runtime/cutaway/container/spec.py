"""What a client may ask for when it creates a container: the body of Docker's `POST /containers/create`.

The structs below are that JSON, field for field under Docker's names, parsed once. Go clients write `null`
where nothing was said, so every field takes null and holds its default then. What the image says is merged in
by `merge_image`, by Docker's rules; what makes no sense is refused by `checks` before anything is changed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Optional, TypeVar

import msgspec

from cutaway.oci.image import Healthcheck, RunConfig

T = TypeVar("T")

if TYPE_CHECKING:
    from typing import Annotated

    Nullable = Annotated[T, "null in the JSON means the default"]
else:

    class Nullable(Generic[T]):
        """`Nullable[int]` is an int for whoever uses it; null in the JSON becomes the default."""

        def __class_getitem__(cls, kind: Any) -> Any:
            return Optional[kind]  # noqa: UP045 - a value made at run time


class Body(msgspec.Struct, rename="pascal"):
    """A part of the request. Nulls become defaults after decoding."""

    def __post_init__(self) -> None:
        for name, make in _defaults(type(self)):
            if getattr(self, name) is None:
                setattr(self, name, make())


@functools.cache
def _defaults(kind: type[Body]) -> tuple[tuple[str, Callable[[], Any]], ...]:
    """For each field what makes its default; looked up once, because asking msgspec is slow."""
    found: list[tuple[str, Callable[[], Any]]] = []
    for field in msgspec.structs.fields(kind):
        if field.default_factory is not msgspec.NODEFAULT:
            found.append((field.name, field.default_factory))
        elif field.default not in (None, msgspec.NODEFAULT):
            found.append((field.name, functools.partial(_same, field.default)))
    return tuple(found)


def _same(value: T) -> T:
    return value


class Ulimit(Body):
    """`--ulimit nofile=1024:2048`."""

    name: Nullable[str] = ""
    soft: Nullable[int] = 0
    hard: Nullable[int] = 0


class RestartPolicy(Body):
    """`--restart`."""

    name: Nullable[str] = ""
    maximum_retry_count: Nullable[int] = 0


class LogConfig(Body):
    """`--log-driver`, `--log-opt`."""

    type: Nullable[str] = ""
    config: Nullable[dict[str, str]] = {}


class TmpfsOptions(Body):
    """Of a mount of type tmpfs: bytes, permission bits, further options: `[["uid", "7"], ["noexec"]]`."""

    size_bytes: Nullable[int] = 0
    mode: Nullable[int] = 0
    options: Nullable[list[list[str]]] = []


class BindOptions(Body):
    """Of a mount of type bind."""

    propagation: Nullable[str] = ""
    non_recursive: Nullable[bool] = False
    create_mountpoint: Nullable[bool] = False
    read_only_non_recursive: Nullable[bool] = False
    read_only_force_recursive: Nullable[bool] = False


class VolumeOptions(Body):
    """Of a mount of type volume."""

    no_copy: Nullable[bool] = False
    labels: Nullable[dict[str, str]] = {}
    driver_config: Nullable[dict[str, Any]] = {}
    subpath: Nullable[str] = ""


class DeviceMapping(Body):
    """`--device HOST[:CONTAINER[:rwm]]`."""

    path_on_host: Nullable[str] = ""
    path_in_container: Nullable[str] = ""
    cgroup_permissions: Nullable[str] = ""


class DeviceRate(Body):
    """Of one disk: bytes or operations a second, or its weight."""

    path: Nullable[str] = ""
    rate: Nullable[int] = 0
    weight: Nullable[int] = 0


class MountRequest(Body):
    """`--mount type=bind,source=…,target=…`."""

    type: Nullable[str] = ""
    source: Nullable[str] = ""
    target: Nullable[str] = ""
    read_only: Nullable[bool] = False
    consistency: Nullable[str] = ""
    bind_options: Nullable[BindOptions] = msgspec.field(default_factory=BindOptions)
    volume_options: Nullable[VolumeOptions] = msgspec.field(default_factory=VolumeOptions)
    tmpfs_options: Nullable[TmpfsOptions] = msgspec.field(default_factory=TmpfsOptions)


class Resources(Body):
    """How much of the machine it may use: what `update` can change. Bytes, microseconds of processor time."""

    memory: Nullable[int] = 0
    memory_swap: Nullable[int] = 0
    memory_reservation: Nullable[int] = 0
    memory_swappiness: Nullable[int] = -1
    kernel_memory: Nullable[int] = 0
    oom_kill_disable: Nullable[bool] = False
    nano_cpus: Nullable[int] = 0
    cpu_shares: Nullable[int] = 0
    cpu_period: Nullable[int] = 0
    cpu_quota: Nullable[int] = 0
    cpu_realtime_period: Nullable[int] = 0
    cpu_realtime_runtime: Nullable[int] = 0
    cpuset_cpus: Nullable[str] = ""
    cpuset_mems: Nullable[str] = ""
    pids_limit: Nullable[int] = 0
    blkio_weight: Nullable[int] = 0
    blkio_weight_device: Nullable[list[DeviceRate]] = []
    blkio_device_read_bps: Nullable[list[DeviceRate]] = []
    blkio_device_write_bps: Nullable[list[DeviceRate]] = []
    blkio_device_read_iops: Nullable[list[DeviceRate]] = msgspec.field(
        name="BlkioDeviceReadIOps", default_factory=list
    )
    blkio_device_write_iops: Nullable[list[DeviceRate]] = msgspec.field(
        name="BlkioDeviceWriteIOps", default_factory=list
    )


class UpdateBody(Resources):
    """The body of `POST /containers/{id}/update`."""

    restart_policy: Nullable[RestartPolicy] = msgspec.field(default_factory=RestartPolicy)


class HostConfig(Resources):
    """What the container gets of this machine."""

    binds: Nullable[list[str]] = []
    container_id_file: Nullable[str] = msgspec.field(name="ContainerIDFile", default="")
    mounts: Nullable[list[MountRequest]] = []
    tmpfs: Nullable[dict[str, str]] = {}
    volumes_from: Nullable[list[str]] = []
    volume_driver: Nullable[str] = ""
    network_mode: Nullable[str] = "default"
    port_bindings: Nullable[dict[str, list[dict[str, str]] | None]] = {}
    publish_all_ports: Nullable[bool] = False
    links: Nullable[list[str]] = []
    extra_hosts: Nullable[list[str]] = []
    dns: Nullable[list[str]] = []
    dns_search: Nullable[list[str]] = []
    dns_options: Nullable[list[str]] = []
    auto_remove: Nullable[bool] = False
    restart_policy: Nullable[RestartPolicy] = msgspec.field(default_factory=RestartPolicy)
    log_config: Nullable[LogConfig] = msgspec.field(default_factory=LogConfig)
    console_size: Nullable[list[int]] = []
    privileged: Nullable[bool] = False
    cap_add: Nullable[list[str]] = []
    cap_drop: Nullable[list[str]] = []
    security_opt: Nullable[list[str]] = []
    readonly_rootfs: Nullable[bool] = False
    masked_paths: list[str] | None = None
    readonly_paths: list[str] | None = None
    group_add: Nullable[list[str]] = []
    ipc_mode: Nullable[str] = ""
    pid_mode: Nullable[str] = ""
    uts_mode: Nullable[str] = msgspec.field(name="UTSMode", default="")
    userns_mode: Nullable[str] = ""
    cgroupns_mode: Nullable[str] = ""
    cgroup_parent: Nullable[str] = ""
    shm_size: Nullable[int] = 0
    ulimits: Nullable[list[Ulimit]] = []
    sysctls: Nullable[dict[str, str]] = {}
    oom_score_adj: Nullable[int] = 0
    init: Nullable[bool] = False
    runtime: Nullable[str] = ""
    storage_opt: Nullable[dict[str, str]] = {}
    devices: Nullable[list[DeviceMapping]] = []
    device_requests: Nullable[list[Any]] = []
    device_cgroup_rules: Nullable[list[str]] = []
    annotations: Nullable[dict[str, str]] = {}
    isolation: Nullable[str] = ""


class NetworkingConfig(Body):
    """Which networks to join, with the wishes for each."""

    endpoints_config: Nullable[dict[str, dict[str, Any] | None]] = {}


class Config(Body):
    """What the container runs, whichever machine it is on."""

    hostname: Nullable[str] = ""
    domainname: Nullable[str] = ""
    user: Nullable[str] = ""
    attach_stdin: Nullable[bool] = False
    attach_stdout: Nullable[bool] = False
    attach_stderr: Nullable[bool] = False
    exposed_ports: Nullable[dict[str, Any]] = {}
    tty: Nullable[bool] = False
    open_stdin: Nullable[bool] = False
    stdin_once: Nullable[bool] = False
    env: Nullable[list[str]] = []
    cmd: list[str] | str | None = None
    healthcheck: Healthcheck | None = None
    image: Nullable[str] = ""
    volumes: Nullable[dict[str, Any]] = {}
    working_dir: Nullable[str] = ""
    entrypoint: list[str] | str | None = None
    network_disabled: Nullable[bool] = False
    mac_address: Nullable[str] = ""
    on_build: list[str] | None = None
    labels: Nullable[dict[str, str]] = {}
    stop_signal: Nullable[str] = ""
    stop_timeout: int | None = None

    @property
    def argv(self) -> list[str]:
        """What to execute: entrypoint and command."""
        return [*words(self.entrypoint), *words(self.cmd)]


class CreateBody(Config):
    """The whole request: `Config`, and beside its fields the two other parts."""

    host_config: Nullable[HostConfig] = msgspec.field(default_factory=HostConfig)
    networking_config: Nullable[NetworkingConfig] = msgspec.field(default_factory=NetworkingConfig)

    def config(self) -> Config:
        """The first part alone, a copy."""
        return Config(**{name: getattr(self, name) for name in Config.__struct_fields__})


def words(value: list[str] | str | None) -> list[str]:
    """A command as a list: Docker takes one string for a list of one."""
    return [value] if isinstance(value, str) else list(value or ())


def merge_image(config: Config, image: RunConfig) -> Config:
    """Fill in what the request left open from the image's config, by Docker's rules (moby, daemon/commit.go,
    merge).

    The image's command counts only when neither command nor entrypoint were given; an entrypoint of `[""]`
    takes the image's away. Variables, labels, ports and volumes are joined; the request's win.
    """
    entrypoint, command = words(config.entrypoint), words(config.cmd)
    if not entrypoint:
        command = command or list(image.cmd or ())
        entrypoint = list(image.entrypoint or ())
    elif entrypoint == [""]:
        entrypoint = []
    given = {variable.partition("=")[0] for variable in config.env}
    inherited = [variable for variable in image.env or () if variable.partition("=")[0] not in given]
    return msgspec.structs.replace(
        config,
        entrypoint=entrypoint or None,
        cmd=command or None,
        env=[*inherited, *(variable for variable in config.env if "=" in variable)],
        user=config.user or image.user,
        working_dir=config.working_dir or image.working_dir,
        stop_signal=config.stop_signal or image.stop_signal,
        labels={**(image.labels or {}), **config.labels},
        exposed_ports={**(image.exposed_ports or {}), **config.exposed_ports},
        volumes={**(image.volumes or {}), **config.volumes},
        healthcheck=config.healthcheck or image.healthcheck,
    )
