"""Every setting of Atoll, and the one place that reads the environment.

``load`` makes ``Settings`` once, from the command line, then ``ATOLL_*`` variables, then one TOML file, then the
defaults below, and remembers where each value came from. Nothing else in the project reads the environment.

A name that is no setting and a value that is none are errors: a setting that is silently ignored is a setting
that its owner believes in.
"""

import dataclasses
import difflib
import math
import os
import re
import tomllib
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints
from urllib.parse import quote, urlsplit

from atoll.model.domain_pattern import DomainPattern, parse_domain

RuntimeName = Literal["oci", "plain"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]

DEFAULT_CONFIG_PATH: Final = Path("/etc/atoll/atoll.toml")
ENVIRONMENT_PREFIX: Final = "ATOLL_"
ENVIRONMENT_ONLY: Final = frozenset({"ATOLL_CONFIG", "ATOLL_API_KEY", "ATOLL_BASE_URL"})

_KIB: Final = 1 << 10
_MIB: Final = 1 << 20
_GIB: Final = 1 << 30
_UNITS: Final = (("GiB", _GIB), ("MiB", _MIB), ("KiB", _KIB))
_FACTORS: Final = {"b": 1, "k": _KIB, "m": _MIB, "g": _GIB, "t": _GIB << 10}
_SIZE: Final = re.compile(r"(?P<number>[0-9]{1,15})\s*(?P<unit>B|[KMGTkmgt](i?B)?)")
_INT: Final = re.compile(r"-?[0-9]{1,18}")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")
_SIZE_NAME: Final = re.compile(r"_bytes(_min|_max)?$")
_DNS_PORT: Final = 53
_EGRESS_PORTS_MAX: Final = 16
_DERIVED: Final[Any] = object()


class SettingsError(Exception):
    """A setting is unknown or its value cannot be; the message says which, from where, and what was expected."""


class _UnusableError(Exception):
    """A value is not what its setting takes."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a reader must know of a setting beside its name and type.

    ``low`` and ``high`` bound numbers, both included. A ``secret`` one may hold a password within its URL.
    """

    text: str
    group: str
    low: float | None = None
    high: float | None = None
    secret: bool = False
    derive: "Callable[[Settings], Any] | None" = None
    default_text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, checked. Units stand last in the names."""

    data_dir: Annotated[
        Path,
        Description(
            "Folder of everything that must last: database, uploads, key, images, sandboxes' disks.",
            "Places",
            default_text="`/var/lib/atoll` for root, `~/.local/share/atoll` for others",
        ),
    ]
    run_dir: Annotated[
        Path,
        Description(
            "Folder of everything that may vanish with a reboot: sockets, the OCI runtime's state.",
            "Places",
            default_text="`/run/atoll` for root, `run` in the data folder for others",
        ),
    ]
    images_dir: Annotated[
        Path,
        Description(
            "Folder of built and imported images; several data folders may share one.",
            "Places",
            derive=lambda settings: settings.data_dir / "images",
            default_text="`images` in the data folder",
        ),
    ] = _DERIVED
    database_url: Annotated[
        str,
        Description(
            "SQLAlchemy URL of the database (`postgresql+asyncpg://…`).",
            "Places",
            secret=True,
            derive=lambda settings: settings.built_in_database_url,
            default_text="SQLite, `atoll.db` in the data folder",
        ),
    ] = _DERIVED

    host: Annotated[str, Description("Address to listen on.", "Server")] = "127.0.0.1"
    port: Annotated[int, Description("TCP port to listen on; 0 takes any free one.", "Server", low=0, high=65535)] = (
        8484
    )
    user: Annotated[
        str, Description("System user that the server runs as when Atoll is started by root.", "Server")
    ] = "atoll"
    allowed_origins: Annotated[
        str | None,
        Description(
            "Origins of other servers' web pages that may open WebSockets here, with commas between them "
            "(`https://console.example.com`). This server's own pages always may.",
            "Server",
        ),
    ] = None
    log_level: Annotated[LogLevel, Description("The least important messages that are still logged.", "Server")] = (
        "info"
    )
    log_format: Annotated[
        LogFormat,
        Description("Lines of the log for people (`text`) or for programs (`json`, an object each).", "Server"),
    ] = "text"
    log_requests: Annotated[
        Literal["no", "yes"],
        Description("Whether every request gets a line in the log when it was answered.", "Server"),
    ] = "no"
    traces_endpoint: Annotated[
        str | None,
        Description(
            "Base URL of an OpenTelemetry collector that takes OTLP over HTTP (`http://127.0.0.1:4318`). Without it "
            "there are no traces.",
            "Server",
            secret=True,
        ),
    ] = None
    traces_headers: Annotated[
        str | None,
        Description(
            "HTTP headers that the collector wants, with commas between them (`x-api-key=…, x-tenant=…`).",
            "Server",
            secret=True,
        ),
    ] = None
    traces_sampled: Annotated[
        float,
        Description(
            "Share of traces that are kept, of those that begin here; a request with a `traceparent` says it itself.",
            "Server",
            low=0,
            high=1,
        ),
    ] = 1.0
    shutdown_grace_s: Annotated[
        float, Description("Time that running calls have to finish when the server stops.", "Server", low=0, high=3600)
    ] = 30.0

    runtime: Annotated[
        RuntimeName,
        Description(
            "What stands behind a container: `oci` has walls; `plain` has none and is for development only.",
            "Sandboxes",
        ),
    ] = "oci"
    oci_runtime: Annotated[str, Description("OCI runtime program, a name on the path or a path.", "Sandboxes")] = "runc"
    zygote_user: Annotated[
        str,
        Description(
            "System user of the preloaded Python that sandboxes are forked from; without it they start cold.",
            "Sandboxes",
        ),
    ] = "atoll-zygote"
    image: Annotated[
        str, Description("Image of new sandboxes: an id, or a name for the newest of it.", "Sandboxes")
    ] = "default"
    cgroup_parent: Annotated[str, Description("Cgroup under which sandboxes have theirs.", "Sandboxes")] = "/atoll"
    pids_max: Annotated[
        int, Description("Processes and threads that one sandbox may have.", "Sandboxes", low=16, high=1 << 22)
    ] = 256
    cpus: Annotated[
        float | None,
        Description("Ceiling of CPU cores for one sandbox. Without one: all of the machine's.", "Sandboxes", low=0.05),
    ] = None
    disk_bytes: Annotated[
        int, Description("Everything that one sandbox may write to disk.", "Sandboxes", low=64 * _MIB)
    ] = 8 * _GIB
    sandboxes_max: Annotated[
        int, Description("Sandboxes that may be there at once, on the whole machine.", "Sandboxes", low=1, high=4096)
    ] = 1000
    pool_min: Annotated[
        int,
        Description(
            "Sandboxes that are always kept ready (never more than `pool_max`), each in a few megabytes; an eighth of "
            "that where there is no zygote, in 100 MB each.",
            "Sandboxes",
            low=0,
            high=1024,
        ),
    ] = 8
    pool_max: Annotated[
        int,
        Description(
            "The most sandboxes that are kept ready; between this and `pool_min`, as many as were asked for in the "
            "last minute. 0 keeps none: every container is made when it is asked for.",
            "Sandboxes",
            low=0,
            high=1024,
        ),
    ] = 64
    memory_bytes_max: Annotated[
        int | None,
        Description(
            "Memory that all sandboxes together may hold. Without one: all of the machine's. In either case half of "
            "`memory_free_bytes_min` is left to the rest of the machine.",
            "Sandboxes",
            low=64 * _MIB,
        ),
    ] = None
    memory_overcommit: Annotated[
        float,
        Description(
            "How many times that memory the running sandboxes' limits may add up to.",
            "Sandboxes",
            low=0.1,
            high=100,
        ),
    ] = 20.0
    disk_overcommit: Annotated[
        float,
        Description(
            "How many times the free disk all sandboxes' `disk_bytes` may add up to; disks only fill as they are used.",
            "Sandboxes",
            low=0.1,
            high=10_000,
        ),
    ] = 20.0
    memory_free_bytes_min: Annotated[
        int, Description("No new sandbox while the machine has less free memory than this.", "Sandboxes", low=0)
    ] = 256 * _MIB
    disk_free_bytes_min: Annotated[
        int, Description("No new sandbox while the data folder's disk has less room than this.", "Sandboxes", low=0)
    ] = 1 * _GIB

    egress_user: Annotated[
        str,
        Description(
            "System user of the process that lets containers out; without it no network policy is taken.", "Network"
        ),
    ] = "atoll-egress"
    egress_allowed_domains: Annotated[
        str | None,
        Description(
            "Domains that containers may ask for in their `network_policy`, with commas between them "
            "(`example.com, *.example.org, example.net:8443`). Without it: any.",
            "Network",
        ),
    ] = None
    egress_ports: Annotated[
        str | None,
        Description(
            "TCP ports beside 80 and 443 that a policy may name, with commas between them; they speak TLS or HTTP.",
            "Network",
        ),
    ] = None
    egress_connections_max: Annotated[
        int, Description("Connections that one container may have out at once.", "Network", low=1, high=4096)
    ] = 128
    egress_connections_per_s_max: Annotated[
        float,
        Description("New connections out in a second, for one container.", "Network", low=0.1, high=10_000),
    ] = 50.0
    egress_idle_s_max: Annotated[
        float, Description("How long a connection out may be silent before it ends.", "Network", low=1)
    ] = 600.0
    egress_bytes_max: Annotated[
        int | None,
        Description(
            "Bytes that one container may move over the network, both ways together, from each start of its sandbox. "
            "Without it: no limit.",
            "Network",
            low=1,
        ),
    ] = None
    egress_ca_bundle: Annotated[
        str | None,
        Description(
            "File with the roots that servers' certificates are verified by where TLS is ended for a domain's secret. "
            "Without it: the machine's own.",
            "Network",
        ),
    ] = None
    dangerous_egress_resolver: Annotated[
        str | None,
        Description(
            "For tests only: the name server (`address:port`) that is asked for containers' names instead of the "
            "machine's own. Refused unless `host` is a loopback address.",
            "Network",
        ),
    ] = None
    dangerous_egress_public: Annotated[
        str | None,
        Description(
            "For tests only: networks that containers can reach although they are not public, with commas between "
            "them. Opens this machine to containers. Refused unless `host` is a loopback address.",
            "Network",
        ),
    ] = None

    expires_after_minutes_default: Annotated[
        int, Description("A container's time to live after its last use when its maker names none.", "Limits", low=1)
    ] = 20
    expires_after_minutes_max: Annotated[
        int, Description("The longest time to live that can be asked for.", "Limits", low=1)
    ] = 43_200
    expired_retention_days: Annotated[
        int, Description("How long an expired container can still be read about.", "Limits", low=0)
    ] = 30
    containers_per_project_max: Annotated[
        int | None,
        Description("Running containers that one project may have. Without one: no limit of its own.", "Limits", low=1),
    ] = None
    files_per_container_max: Annotated[
        int, Description("Files of one container that are listed and can be added.", "Limits", low=1)
    ] = 10_000
    upload_bytes_max: Annotated[int, Description("Size of one uploaded file.", "Limits", low=1)] = 512 * _MIB
    archive_bytes_max: Annotated[
        int, Description("Size of one archive that is sent to be unpacked in a container.", "Limits", low=1 * _KIB)
    ] = 2 * _GIB
    archive_entries_max: Annotated[
        int,
        Description(
            "Files, folders and links that one archive may have, in either direction.", "Limits", low=1, high=10_000_000
        ),
    ] = 100_000
    code_bytes_max: Annotated[int, Description("Size of the code of one Python call.", "Limits", low=1)] = 1 * _MIB
    commands_max: Annotated[int, Description("Commands in one shell call.", "Limits", low=1)] = 100
    command_bytes_max: Annotated[int, Description("Size of one shell command.", "Limits", low=1)] = 1 * _MIB
    timeout_ms_default: Annotated[
        int, Description("Time that a call has when its maker names none.", "Limits", low=1)
    ] = 120_000
    timeout_ms_max: Annotated[int, Description("The longest time that a call can ask for.", "Limits", low=1)] = (
        3_600_000
    )
    output_bytes_max: Annotated[
        int, Description("Text output of one call; more is cut in the middle.", "Limits", low=1 * _KIB)
    ] = 10 * _MIB
    answers_bytes_max: Annotated[
        int,
        Description(
            "Memory for output, text and images, that the server holds until it is sent, of all calls together; the "
            "first 64 KiB of each are free. A call whose output finds no room waits for it, and is ended after 10 s.",
            "Limits",
            low=16 * _MIB,
        ),
    ] = 256 * _MIB
    calls_waiting_max: Annotated[
        int, Description("Calls that may wait for their turn on one container.", "Limits", low=0)
    ] = 32
    processes_max: Annotated[
        int,
        Description("Programs that may run at once through `processes` of one container.", "Limits", low=1, high=32),
    ] = 16
    stdin_bytes_max: Annotated[
        int,
        Description("Standard input of one program; a request as a whole has 16 MiB at most.", "Limits", low=0),
    ] = 8 * _MIB
    terminals_max: Annotated[
        int,
        Description(
            "Connections to terminals, of all containers together; one project may have three quarters.",
            "Limits",
            low=0,
        ),
    ] = 1_000
    terminals_per_container_max: Annotated[
        int, Description("Terminals of one container, connected to or not.", "Limits", low=0, high=32)
    ] = 8
    event_streams_max: Annotated[
        int,
        Description(
            "Streams of events, of all containers together; one project may have three quarters.", "Limits", low=0
        ),
    ] = 1_000

    def __post_init__(self) -> None:
        for name, description in DESCRIPTIONS.items():
            if getattr(self, name) is _DERIVED and description.derive is not None:
                object.__setattr__(self, name, description.derive(self))
        _check_together(self)

    @property
    def database_path(self) -> Path:
        """Where the built-in database is, unless ``database_url`` names another."""
        return self.data_dir / "atoll.db"

    @property
    def built_in_database_url(self) -> str:
        """The URL that stands for ``database_path``, whatever characters are in it."""
        return f"sqlite:///{quote(str(self.database_path))}"

    @property
    def blobs_dir(self) -> Path:
        """Uploaded files' bytes, owned by the server's user."""
        return self.data_dir / "blobs"

    @property
    def sandboxes_dir(self) -> Path:
        """Sandboxes' records and disks; the supervisor's, closed to the server."""
        return self.data_dir / "sandboxes"

    @property
    def api_key_path(self) -> Path:
        """The first key's secret, readable by its owner only."""
        return self.data_dir / "api-key"

    @property
    def vault_key_path(self) -> Path:
        """The key that containers' secrets are encrypted with, readable by root only."""
        return self.data_dir / "vault-key"

    @property
    def supervisor_socket_path(self) -> Path:
        """Where the supervisor listens."""
        return self.run_dir / "supervisor.sock"

    @property
    def egress_socket_path(self) -> Path:
        """Where the egress process takes networks from the supervisor."""
        return self.run_dir / "egress.sock"

    @property
    def egress_feed_path(self) -> Path:
        """Where the egress process tells the server what it decided."""
        return self.run_dir / "egress-feed.sock"

    @property
    def egress_tcp_ports(self) -> tuple[int, ...]:
        """The ports that containers may be let out to."""
        further = tuple(_port(word) for word in _words(self.egress_ports))
        if _DNS_PORT in further:
            raise ValueError("port 53 answers look-ups and nothing else")
        return tuple(dict.fromkeys((80, 443, *further)))

    @property
    def web_origins(self) -> tuple[str, ...]:
        """``allowed_origins``, each as browsers write it."""
        return () if self.allowed_origins is None else tuple(_origin(word) for word in _words(self.allowed_origins))

    @property
    def traces_http_headers(self) -> dict[str, str]:
        """``traces_headers``, by their names."""
        return dict(_header(word) for word in _words(self.traces_headers))

    @property
    def egress_outer_domains(self) -> tuple[DomainPattern, ...] | None:
        """The bound of every policy; ``None`` bounds none."""
        if self.egress_allowed_domains is None:
            return None
        return tuple(parse_domain(word) for word in _words(self.egress_allowed_domains))

    @property
    def egress_test_resolver(self) -> tuple[str, int] | None:
        """Address and port of the name server to ask in tests."""
        if self.dangerous_egress_resolver is None:
            return None
        address, _, port = self.dangerous_egress_resolver.rpartition(":")
        return str(ip_address(address.strip("[]"))), _port(port)

    @property
    def egress_test_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """What counts as public in tests."""
        return tuple(ip_network(word) for word in _words(self.dangerous_egress_public))


_HINTS: Final = get_type_hints(Settings, include_extras=True)
DESCRIPTIONS: Final[dict[str, Description]] = {
    item.name: _HINTS[item.name].__metadata__[0] for item in dataclasses.fields(Settings)
}
_TYPES: Final[dict[str, Any]] = {name: _HINTS[name].__origin__ for name in DESCRIPTIONS}


@dataclass(frozen=True, slots=True)
class Machine:
    """What defaults depend on."""

    is_root: bool
    home: Path

    @staticmethod
    def here() -> "Machine":
        """Look at this process."""
        return Machine(is_root=os.geteuid() == 0, home=Path.home())


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and for each name where its value came from (``default``, ``ATOLL_PORT``, ``--port``, a file)."""

    settings: Settings
    origins: Mapping[str, str]


def load(
    command_line: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    config: Path | None = None,
    machine: Machine | None = None,
    default_config: Path = DEFAULT_CONFIG_PATH,
) -> Loaded:
    """Make the settings. ``command_line`` holds what was given there, by setting name; ``None`` counts as not given.

    Raises ``SettingsError``.
    """
    environ = os.environ if environ is None else environ
    machine = Machine.here() if machine is None else machine
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in (
        _from_command_line(command_line or {}),
        _from_environment(environ),
        _from_file(_config_path(config, environ, default_config)),
    ):
        for name, (raw, origin) in layer.items():
            if name not in values:
                values[name] = parse(name, raw, origin)
                origins[name] = origin
    return Loaded(_with_defaults(values, origins, machine), {n: origins.get(n, "default") for n in DESCRIPTIONS})


def first_api_key(environ: Mapping[str, str] | None = None) -> str | None:
    """Give ``ATOLL_API_KEY``: the server's first key, and the client's key."""
    return (os.environ if environ is None else environ).get("ATOLL_API_KEY") or None


def client_base_url(environ: Mapping[str, str] | None = None) -> str | None:
    """Give ``ATOLL_BASE_URL``: where the command line finds the server."""
    return (os.environ if environ is None else environ).get("ATOLL_BASE_URL") or None


def client_variable(name: str, environ: Mapping[str, str] | None = None) -> str | None:
    """Give a variable that somebody has named on the command line."""
    return (os.environ if environ is None else environ).get(name)


def client_state_dir(environ: Mapping[str, str] | None = None) -> Path | None:
    """Give the folder in which the command line keeps what it remembers of a person; ``None`` without a home."""
    environ = os.environ if environ is None else environ
    home = environ.get("HOME")
    state = environ.get("XDG_STATE_HOME") or (f"{home}/.local/state" if home else None)
    return Path(state) / "atoll" if state and state.startswith("/") else None


def type_text(name: str) -> str:
    """Say in words what values a setting takes."""
    return _expected(name)


def default_text(name: str) -> str:
    """Say in words what a setting is when nobody sets it."""
    description = DESCRIPTIONS[name]
    if description.default_text is not None:
        return description.default_text
    default = next(item.default for item in dataclasses.fields(Settings) if item.name == name)
    return "none" if default is None else f"`{render(name, default)}`"


def render(name: str, value: object) -> str:
    """Write a value as ``parse`` reads it, sizes with their unit."""
    if is_size(name) and isinstance(value, int):
        for unit, factor in _UNITS:
            if value and value % factor == 0:
                return f"{value // factor}{unit}"
    return str(value)


def is_size(name: str) -> bool:
    """Tell whether a setting counts bytes."""
    return _SIZE_NAME.search(name) is not None


def parse(name: str, raw: object, origin: str) -> Any:
    """Check one value, a string or a TOML value, and give it in the setting's type.

    Raises ``SettingsError``, which names ``origin``.
    """
    description = DESCRIPTIONS[name]
    try:
        value = _parse(_plain_type(_TYPES[name]), raw, size=is_size(name))
        _check_bounds(value, description)
    except (_UnusableError, ValueError):
        given = "a secret value" if description.secret else repr(raw)
        raise SettingsError(f"{name}: {given} (from {origin}) cannot be used; expected {type_text(name)}.") from None
    return value


def _parse(kind: Any, raw: object, *, size: bool) -> Any:
    if isinstance(raw, bool):
        raise _UnusableError
    if get_origin(kind) is Literal:
        if raw not in get_args(kind):
            raise _UnusableError
        return raw
    if kind is int:
        return _parse_int(raw, size=size)
    if kind is float:
        return _parse_float(raw)
    if not isinstance(raw, (str, Path)) or not str(raw) or "\0" in str(raw):
        raise _UnusableError
    return _parse_path(str(raw)) if kind is Path else str(raw)


def _parse_int(raw: object, *, size: bool) -> int:
    if isinstance(raw, int):
        return raw
    if not isinstance(raw, str):
        raise _UnusableError
    match = _SIZE.fullmatch(raw.strip()) if size else None
    if match:
        return int(match["number"]) * _FACTORS[match["unit"][0].lower()]
    if not _INT.fullmatch(raw.strip()):
        raise _UnusableError
    return int(raw)


def _parse_float(raw: object) -> float:
    if not isinstance(raw, (str, int, float)):
        raise _UnusableError
    value = float(raw)
    if not math.isfinite(value):
        raise _UnusableError
    return value


def _parse_path(raw: str) -> Path:
    """Give an absolute path without touching the disk, so that a later change of directory cannot move it."""
    try:
        return Path(os.path.abspath(Path(raw).expanduser()))  # noqa: PTH100 - resolve() would follow symbolic links
    except RuntimeError as error:  # ~name, where there is nobody of that name
        raise _UnusableError from error


def _check_bounds(value: object, description: Description) -> None:
    if not isinstance(value, (int, float)):
        return
    if description.low is not None and value < description.low:
        raise _UnusableError
    if description.high is not None and value > description.high:
        raise _UnusableError


def _plain_type(kind: Any) -> Any:
    """Take ``None`` off an optional type: not setting it is the only way to say none."""
    return next((part for part in get_args(kind) if part is not type(None)), kind) if _is_union(kind) else kind


def _is_union(kind: Any) -> bool:
    return isinstance(kind, types.UnionType)


def _expected(name: str) -> str:
    description = DESCRIPTIONS[name]
    kind = _plain_type(_TYPES[name])
    if get_origin(kind) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(kind))
    if kind is Path:
        return "a path"
    if kind is str:
        return "text"
    noun = "a size in bytes (`8GiB`, `512MiB`)" if is_size(name) else "a whole number" if kind is int else "a number"
    low, high = (
        None if bound is None else render(name, int(bound) if bound == int(bound) else bound)
        for bound in (description.low, description.high)
    )
    if low is not None and high is not None:
        return f"{noun} from {low} to {high}"
    return noun if low is None else f"{noun}, at least {low}"


def _check_together(settings: Settings) -> None:
    """Refuse values that are each possible but not together."""
    for smaller, larger in (
        ("expires_after_minutes_default", "expires_after_minutes_max"),
        ("timeout_ms_default", "timeout_ms_max"),
    ):
        if getattr(settings, smaller) > getattr(settings, larger):
            raise SettingsError(
                f"{smaller} ({getattr(settings, smaller)}) cannot be more than {larger} ({getattr(settings, larger)})."
            )
    if not settings.cgroup_parent.startswith("/") or ".." in settings.cgroup_parent.split("/"):
        raise SettingsError(
            f"cgroup_parent: {settings.cgroup_parent!r} cannot be used; expected an absolute path such as `/atoll`."
        )
    _check_egress(settings)
    _check_traces(settings)


def _check_egress(settings: Settings) -> None:
    """Refuse what the network settings cannot be. Raises ``SettingsError``."""
    for name, read in (
        ("allowed_origins", lambda: settings.web_origins),
        ("egress_allowed_domains", lambda: settings.egress_outer_domains),
        ("egress_ports", lambda: settings.egress_tcp_ports),
        ("dangerous_egress_resolver", lambda: settings.egress_test_resolver),
        ("dangerous_egress_public", lambda: settings.egress_test_networks),
    ):
        try:
            read()
        except ValueError as error:
            raise SettingsError(f"{name}: {getattr(settings, name)!r} cannot be used: {error}.") from error
    if len(settings.egress_tcp_ports) > _EGRESS_PORTS_MAX:
        raise SettingsError(f"egress_ports: no more than {_EGRESS_PORTS_MAX - 2} can be named.")
    for name in ("dangerous_egress_resolver", "dangerous_egress_public"):
        if getattr(settings, name) is not None and not _is_loopback(settings.host):
            raise SettingsError(
                f"{name} is for tests on one machine: it cannot go with host {settings.host!r}, which others reach."
            )


def _check_traces(settings: Settings) -> None:
    """Refuse what cannot be a collector. Raises ``SettingsError``, which repeats nothing that may be secret."""
    if settings.traces_endpoint is not None:
        parts = urlsplit(settings.traces_endpoint)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise SettingsError("traces_endpoint: expected a URL such as `http://127.0.0.1:4318`.")
    try:
        _ = settings.traces_http_headers
    except ValueError as error:
        raise SettingsError(f"traces_headers: {error}.") from None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path or parts.query or parts.fragment:
        raise ValueError(f"{text!r} is no origin, which is written as https://example.com or http://localhost:3000")
    return text.lower()


def _header(text: str) -> tuple[str, str]:
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not _HEADER_NAME.fullmatch(name) or not value.isascii() or not value.isprintable():
        raise ValueError("expected `name=value`, with commas between several")
    return name, value


def _port(text: str) -> int:
    if not _INT.fullmatch(text) or not 0 < int(text) < 65_536:
        raise ValueError(f"{text!r} is no port")
    return int(text)


def _from_command_line(given: Mapping[str, object]) -> dict[str, tuple[object, str]]:
    return {
        _known(name, name, "the command line"): (raw, "--" + name.replace("_", "-"))
        for name, raw in given.items()
        if raw is not None
    }


def _from_environment(environ: Mapping[str, str]) -> dict[str, tuple[object, str]]:
    found: dict[str, tuple[object, str]] = {}
    for variable, raw in environ.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in ENVIRONMENT_ONLY:
            continue
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if variable != ENVIRONMENT_PREFIX + name.upper():
            name = variable
        _known(name, variable, "the environment")
        if raw:  # an empty variable is how shells and compose files say "not set"
            found[name] = (raw, variable)
    return found


def _from_file(path: Path | None) -> dict[str, tuple[object, str]]:
    if path is None:
        return {}
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {path} is not TOML: {error}.") from error
    return {_known(name, name, str(path)): (raw, str(path)) for name, raw in content.items()}


def _known(name: str, written: str, origin: str) -> str:
    """Give ``name`` back when it is a setting. Raises ``SettingsError`` that names the nearest one."""
    if name in DESCRIPTIONS:
        return name
    prefix = ENVIRONMENT_PREFIX if written.startswith(ENVIRONMENT_PREFIX) else ""
    wanted = written.removeprefix(prefix).lower().replace("-", "_")
    known = {name: f"{prefix}{name.upper()}" if prefix else name for name in DESCRIPTIONS}
    if prefix:
        known |= {variable.removeprefix(prefix).lower(): variable for variable in ENVIRONMENT_ONLY}
    nearest = difflib.get_close_matches(wanted, known, n=1, cutoff=0.5)
    hint = f"; did you mean {known[nearest[0]]}?" if nearest else "; `atoll config` lists them all."
    raise SettingsError(f"Unknown setting {written} in {origin}{hint}")


def _config_path(given: Path | None, environ: Mapping[str, str], default: Path) -> Path | None:
    """Choose the one settings file; a file that was named must be there, the default one need not."""
    if given is not None:
        return given
    if environ.get("ATOLL_CONFIG"):
        return Path(environ["ATOLL_CONFIG"])
    return default if default.is_file() else None


def _with_defaults(values: dict[str, Any], origins: dict[str, str], machine: Machine) -> Settings:
    data_dir = values.get("data_dir") or (
        Path("/var/lib/atoll") if machine.is_root else machine.home / ".local/share/atoll"
    )
    run_dir = values.get("run_dir") or (Path("/run/atoll") if machine.is_root else data_dir / "run")
    try:
        return Settings(**{**values, "data_dir": data_dir, "run_dir": run_dir})
    except SettingsError as error:
        named = {origin for name, origin in origins.items() if name in str(error)}
        raise SettingsError(f"{error} (from {', '.join(sorted(named))})" if named else str(error)) from None
