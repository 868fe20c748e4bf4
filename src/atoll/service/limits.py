"""Every number that the services need; the operator's settings fill it."""

from dataclasses import dataclass

from atoll.model.domain_pattern import DomainPattern

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLimits:
    """Limits and defaults, each with its unit last. ``None`` means without a limit.

    ``cpus``, ``disk_bytes`` and ``pids_max`` go into every sandbox's spec. ``call_grace_ms`` is how much longer
    than its ``timeout_ms`` a call may take before the sandbox is stopped under it. ``agent_timeout_s`` bounds
    questions to an agent that carry no people's code and no file's bytes. ``egress_outer_domains`` bound every policy
    where the operator set some; of each container the ``egress_decisions_max`` newest decisions are kept.
    """

    expires_after_minutes_default: int = 20
    expires_after_minutes_max: int = 43_200
    expired_retention_days: int = 30
    name_chars_max: int = 1_000
    file_ids_max: int = 500
    containers_per_project_max: int | None = None

    code_bytes_max: int = 1 * _MIB
    commands_max: int = 100
    command_bytes_max: int = 1 * _MIB
    timeout_ms_default: int = 120_000
    timeout_ms_max: int = 3_600_000
    call_grace_ms: int = 10_000
    output_bytes_max: int = 10 * _MIB
    answers_bytes_max: int = 256 * _MIB
    calls_waiting_max: int = 32
    processes_max: int = 16
    stdin_bytes_max: int = 8 * _MIB
    terminals_max: int = 1_000
    terminals_per_container_max: int = 8
    terminal_input_timeout_s: float = 15.0
    event_streams_max: int = 1_000

    upload_bytes_max: int = 512 * _MIB
    archive_bytes_max: int = 2 * 1024 * _MIB
    archive_entries_max: int = 100_000
    files_per_container_max: int = 10_000
    file_expires_after_s_min: int = 3_600
    file_expires_after_s_max: int = 2_592_000

    pids_max: int = 256
    cpus: float = 1.0
    disk_bytes: int = 8 * 1024 * _MIB

    allowed_domains_max: int = 1_000
    egress_tcp_ports: tuple[int, ...] = (80, 443)
    egress_outer_domains: tuple[DomainPattern, ...] | None = None
    egress_decisions_max: int = 1_000
    domain_secrets_max: int = 100
    domain_secret_chars_max: int = 8 * 1024
    domain_secrets_chars_max: int = 64 * 1024

    sandbox_start_timeout_s: float = 120.0
    agent_timeout_s: float = 30.0
    cleanup_timeout_s: float = 30.0
    key_cache_s: float = 5.0
    key_cache_max: int = 10_000
