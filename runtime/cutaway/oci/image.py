"""An image is three kinds of JSON and some tar files, each named by its digest.

A *manifest* lists descriptors: one for the *config*, one for each *layer*. A descriptor is a digest with
a size and a media type. The config says how to run the image (`config`), from which unpacked layers it is
made (`rootfs.diff_ids`) and how it came about (`history`). The digest of the config is the image's id.
Source: OCI image-spec: descriptor.md, manifest.md, config.md; the fields that only Docker has are marked.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import msgspec

from cutaway.errors import BadInputError
from cutaway.oci.digest import Digest

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = LAYER + "+gzip"
LAYER_ZSTD = LAYER + "+zstd"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
REF_NAME = "org.opencontainers.image.ref.name"

T = TypeVar("T")

# An empty tar as GNU tar and Go write it, and as `tarfile` does, which pads to 20 blocks.
EMPTY_LAYERS = (
    "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
    "sha256:84ff92691f909a05b224e1c56abb4864f01b4f8e3c854e4bb4c7baf1d3f6d652",
)
EPOCH = "1970-01-01T00:00:00Z"


class Platform(msgspec.Struct, omit_defaults=True):
    """For which machine something is made: Go's names, such as `amd64` and `linux`."""

    architecture: str = ""
    os: str = ""
    variant: str = ""


class Descriptor(msgspec.Struct, rename="camel", omit_defaults=True):
    """Points to content: what it is, its digest, its size in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] | None = None
    platform: Platform | None = None


class Manifest(msgspec.Struct, rename="camel", omit_defaults=True):
    """What an image consists of."""

    schema_version: int
    config: Descriptor
    layers: list[Descriptor]
    media_type: str = ""
    annotations: dict[str, str] | None = None


class Index(msgspec.Struct, rename="camel", omit_defaults=True):
    """A list of manifests: an image layout's `index.json`, or one image for several platforms."""

    schema_version: int
    manifests: list[Descriptor]
    media_type: str = ""
    annotations: dict[str, str] | None = None


class History(msgspec.Struct, omit_defaults=True):
    """How one layer came about. `empty_layer` is true for steps that changed only the config."""

    created: str | None = None
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class Healthcheck(msgspec.Struct, rename="pascal", omit_defaults=True):
    """Docker's health check; times in nanoseconds. None, which some clients send, is 0: the default."""

    test: list[str] | None = None
    interval: int | None = 0
    timeout: int | None = 0
    start_period: int | None = 0
    start_interval: int | None = 0
    retries: int | None = 0


class RunConfig(msgspec.Struct, rename="pascal", omit_defaults=True):
    """How to run a container of the image: OCI's `config` and Docker's additions (from `healthcheck` on)."""

    user: str = ""
    exposed_ports: dict[str, dict[str, Any]] | None = None
    env: list[str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    volumes: dict[str, dict[str, Any]] | None = None
    working_dir: str = ""
    labels: dict[str, str] | None = None
    stop_signal: str = ""
    healthcheck: Healthcheck | None = None
    on_build: list[str] | None = None
    shell: list[str] | None = None
    args_escaped: bool = False
    hostname: str = ""
    domainname: str = ""


class RootFs(msgspec.Struct):
    """The layers, lowest first, by the digest of their unpacked tar."""

    type: str = "layers"
    diff_ids: list[str] = []


class ImageConfig(msgspec.Struct, omit_defaults=True):
    """The config: how to run, what from, how made. `created` is RFC 3339."""

    architecture: str = "amd64"
    os: str = "linux"
    created: str | None = None
    author: str = ""
    variant: str = ""
    config: RunConfig = msgspec.field(default_factory=RunConfig)
    rootfs: RootFs = msgspec.field(default_factory=RootFs)
    history: list[History] | None = msgspec.field(default_factory=list)
    docker_version: str = ""
    comment: str = ""
    container_config: dict[str, Any] | None = None

    def encode(self) -> bytes:
        """The JSON whose digest is the image's id: always the same bytes for the same value."""
        # Readers of the spec require these two, so they are written even when they hold their defaults.
        data = {"architecture": self.architecture, "os": self.os} | msgspec.to_builtins(self)
        data["rootfs"] = msgspec.to_builtins(self.rootfs)
        return msgspec.json.encode(data)


@dataclasses.dataclass(frozen=True, slots=True)
class Layer:
    """One layer of an image in both its forms: the unpacked tar's digest and the blob that carries it.

    `size` is the sum of the sizes of the files in it, in bytes: what Docker shows.
    """

    diff_id: Digest
    descriptor: Descriptor
    size: int

    @property
    def blob(self) -> Digest:
        """Digest of the tar as it is kept in the content store, perhaps compressed."""
        return Digest(self.descriptor.digest)

    @property
    def empty(self) -> bool:
        """True when there is nothing in it: a step that changed no file."""
        return self.diff_id in EMPTY_LAYERS


def decode_config(data: bytes) -> ImageConfig:
    """Read a config. Raises BadInputError when it is not one."""
    return _decode(data, ImageConfig, "image config")


def decode_manifest(data: bytes) -> Manifest:
    """Read a manifest. Raises BadInputError when it is not one."""
    manifest = _decode(data, Manifest, "manifest")
    for descriptor in (manifest.config, *manifest.layers):
        Digest.parse(descriptor.digest)
    return manifest


def decode_index(data: bytes) -> Index:
    """Read an index. Raises BadInputError when it is not one."""
    index = _decode(data, Index, "image index")
    for descriptor in index.manifests:
        Digest.parse(descriptor.digest)
    return index


def _decode(data: bytes, kind: type[T], noun: str) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise BadInputError(f"damaged {noun}: {error}", "fetch or export the image again") from error
