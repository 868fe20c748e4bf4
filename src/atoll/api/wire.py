"""Every JSON body, in and out, as msgspec structs with the hosted service's names and key order.

Structs of requests refuse unknown keys; what does not fit them is put into words by ``atoll.api.explain``. In
requests ``null`` means the same as leaving an optional key out. The OpenAPI document is generated from these types.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from atoll.model import container_stats as container_stats_model
from atoll.model import terminals
from atoll.model.containers import Container
from atoll.model.egress_decision import EgressReason, EgressRecord
from atoll.model.files import ContainerFile, File, FileSource
from atoll.model.ids import created_at

_Count = Annotated[int, Meta(ge=0)]
_UnixSeconds = Annotated[int, Meta(description="Unix time in seconds.")]


class _Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    pass


# -- containers: in


class ExpiresAfterBody(_Request, frozen=True, kw_only=True):
    """When a container that is not used ends."""

    anchor: Annotated[Literal["last_active_at"], Meta(description="The moment that `minutes` are counted from.")]
    minutes: Annotated[int, Meta(ge=1, description="Minutes after the anchor; the operator sets the most.")]


class DomainSecretBody(_Request, frozen=True, kw_only=True):
    """A secret for one domain: `$NAME` in a header of a request to it becomes the value. Never given back."""

    domain: Annotated[str, Meta(min_length=1)]
    name: Annotated[str, Meta(min_length=1)]
    value: Annotated[str, Meta(min_length=1, max_length=10_485_760)]


class NetworkDisabledBody(_Request, frozen=True, kw_only=True, tag_field="type", tag="disabled"):
    """No network at all."""


class NetworkAllowlistBody(_Request, frozen=True, kw_only=True, tag_field="type", tag="allowlist"):
    """Only the named domains: `example.com`, `*.example.com` for all below it, `example.com:8443` for one port."""

    allowed_domains: Annotated[list[str], Meta(min_length=1, extra_json_schema={"maxItems": 1000})]
    domain_secrets: Annotated[list[DomainSecretBody], Meta(min_length=1)] | None = None


class CreateContainerBody(_Request, frozen=True, kw_only=True):
    """The container that is wanted."""

    name: Annotated[str, Meta(min_length=1, description="Any name; several containers may have the same.")]
    expires_after: ExpiresAfterBody | None = None
    file_ids: (
        Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(description="Files of `/v1/files` to copy in.")] | None
    ) = None
    memory_limit: Literal["1g", "4g", "16g", "64g"] | None = None
    network_policy: NetworkDisabledBody | NetworkAllowlistBody | None = None
    skills: (
        Annotated[
            list[Any], Meta(description="Not supported yet; may only be empty.", extra_json_schema={"maxItems": 0})
        ]
        | None
    ) = None


class UpdateContainerBody(_Request, frozen=True, kw_only=True):
    """What is to be changed; what is left out stays."""

    name: Annotated[str, Meta(min_length=1)] | None = None
    expires_after: ExpiresAfterBody | None = None
    network_policy: NetworkDisabledBody | NetworkAllowlistBody | None = None
    keep_domain_secrets: (
        Annotated[
            bool,
            Meta(
                description="With `network_policy`: secrets that the container has stay, for domains that are listed "
                "still; one that is given again takes its old value's place. Without it they are gone."
            ),
        ]
        | None
    ) = None


# -- containers: out


class ExpiresAfter(_Answer, frozen=True, kw_only=True):
    """When a container that is not used ends."""

    anchor: Literal["last_active_at"] = "last_active_at"
    minutes: Annotated[int, Meta(ge=1)]


class NetworkPolicyResource(_Answer, frozen=True, kw_only=True):
    """What the container may reach; `allowed_domains` is there for an allowlist only."""

    type: Literal["disabled", "allowlist"]
    allowed_domains: list[str] | UnsetType = UNSET


class ContainerResource(_Answer, frozen=True, kw_only=True):
    """A container."""

    id: Annotated[str, Meta(pattern="^cntr_[0-9a-f]{48}$")]
    object: Literal["container"] = "container"
    created_at: _UnixSeconds
    status: Literal["running", "expired"]
    expires_after: ExpiresAfter
    last_active_at: _UnixSeconds
    memory_limit: Literal["1g", "4g", "16g", "64g"]
    name: str
    network_policy: NetworkPolicyResource


class ContainerListResource(_Answer, frozen=True, kw_only=True):
    """A page of containers; the ids are null when it is empty."""

    object: Literal["list"] = "list"
    data: list[ContainerResource]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedContainer(_Answer, frozen=True, kw_only=True):
    """The container is gone."""

    id: str
    object: Literal["container.deleted"] = "container.deleted"
    deleted: Literal[True] = True


class InterruptedContainer(_Answer, frozen=True, kw_only=True):
    """`interrupted` tells whether a call was running."""

    id: str
    object: Literal["container.interrupted"] = "container.interrupted"
    interrupted: bool


class RestartedContainer(_Answer, frozen=True, kw_only=True):
    """Every process of the container has ended; its files are kept."""

    id: str
    object: Literal["container.restarted"] = "container.restarted"
    restarted: Literal[True] = True


class Terminal(_Answer, frozen=True, kw_only=True):
    """A shell on a terminal of its own, which goes on whether somebody is connected to it or not."""

    id: str
    object: Literal["container.terminal"] = "container.terminal"
    created_at: _UnixSeconds
    container_id: str
    cols: Annotated[int, Meta(ge=1)]
    rows: Annotated[int, Meta(ge=1)]
    attached: Annotated[bool, Meta(description="Whether somebody is connected to it.")]


class TerminalListResource(_Answer, frozen=True, kw_only=True):
    """All terminals of a container, the oldest first."""

    object: Literal["list"] = "list"
    data: list[Terminal]


class TerminalClosed(_Answer, frozen=True, kw_only=True):
    """The terminal is gone."""

    id: str
    object: Literal["container.terminal.closed"] = "container.terminal.closed"
    closed: Literal[True] = True


class MemoryStats(_Answer, frozen=True, kw_only=True):
    """Memory, everything in the container counted."""

    used_bytes: _Count
    limit_bytes: _Count | None


class CpuStats(_Answer, frozen=True, kw_only=True):
    """CPU; `cores` were used lately, `used_seconds` since the container was last woken."""

    used_seconds: Annotated[float, Meta(ge=0)]
    cores: Annotated[float, Meta(ge=0)]
    limit_cores: Annotated[float, Meta(ge=0)] | None


class ProcessStats(_Answer, frozen=True, kw_only=True):
    """Processes and threads."""

    count: _Count
    limit: _Count | None


class DiskStats(_Answer, frozen=True, kw_only=True):
    """What is written on the container's disk, everywhere in it; null where that is not known."""

    used_bytes: _Count | None
    limit_bytes: _Count | None


class NetworkStats(_Answer, frozen=True, kw_only=True):
    """What went through the network policy since the container was last woken."""

    sent_bytes: _Count
    received_bytes: _Count
    refused: _Count


class StatsSample(_Answer, frozen=True, kw_only=True):
    """What was seen at one moment."""

    at: Annotated[float, Meta(description="Unix time in seconds.")]
    memory_bytes: _Count
    cpu_cores: Annotated[float, Meta(ge=0)]
    processes: _Count
    disk_bytes: _Count | None
    sent_bytes: _Count
    received_bytes: _Count


class ContainerStats(_Answer, frozen=True, kw_only=True):
    """What a container holds and uses; null is no limit, or nothing known."""

    object: Literal["container.stats"] = "container.stats"
    container_id: str
    sampled_at: Annotated[float, Meta(description="Unix time in seconds.")]
    memory: MemoryStats
    cpu: CpuStats
    processes: ProcessStats
    disk: DiskStats
    network: Annotated[NetworkStats | None, Meta(description="Null where no policy lets anything out.")]
    history: Annotated[
        list[StatsSample],
        Meta(description="Oldest first, of the last five minutes, since somebody first asked; one every 5 s at most."),
    ]


class EgressDecision(_Answer, frozen=True, kw_only=True):
    """What was let out of the container, or was not: one connection, or one look-up of a name that is not allowed."""

    id: Annotated[str, Meta(pattern="^egr_[0-9a-f]{32}$")]
    object: Literal["container.egress"] = "container.egress"
    created_at: Annotated[float, Meta(description="Unix time in seconds, with milliseconds.")]
    container_id: str
    name: Annotated[str, Meta(description="The name, or the bare address, that was wanted.")]
    port: Annotated[int, Meta(description="The TCP port; 53 for a look-up.")]
    allowed: bool
    reason: Annotated[str, Meta(description="`allowed`, or why it was refused or ended.")]
    bytes_sent: Annotated[int, Meta(ge=0, description="Bytes that left the container.")]
    bytes_received: Annotated[int, Meta(ge=0, description="Bytes that came into it.")]


class EgressListResource(_Answer, frozen=True, kw_only=True):
    """A page of a container's network decisions; the ids are null when it is empty."""

    object: Literal["list"] = "list"
    data: list[EgressDecision]
    first_id: str | None
    last_id: str | None
    has_more: bool


# -- files of a container


class CreateContainerFileBody(_Request, frozen=True, kw_only=True):
    """Names a file of `/v1/files` to copy in."""

    file_id: Annotated[str, Meta(min_length=1, description="Id of a file of `/v1/files`.")]


class ContainerFileResource(_Answer, frozen=True, kw_only=True):
    """A file in a container; `source` is `assistant` for what code wrote."""

    id: Annotated[str, Meta(pattern="^cfile_[0-9a-f]{32}$")]
    object: Literal["container.file"] = "container.file"
    bytes: _Count
    container_id: str
    created_at: _UnixSeconds
    path: Annotated[str, Meta(description="Absolute path inside the container.")]
    source: FileSource


class ContainerFileListResource(_Answer, frozen=True, kw_only=True):
    """A page of a container's files; the ids are null when it is empty."""

    object: Literal["list"] = "list"
    data: list[ContainerFileResource]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedContainerFile(_Answer, frozen=True, kw_only=True):
    """The file is gone from the container."""

    id: str
    object: Literal["container.file.deleted"] = "container.file.deleted"
    deleted: Literal[True] = True


class UnpackedArchive(_Answer, frozen=True, kw_only=True):
    """What came into the container."""

    object: Literal["container.archive"] = "container.archive"
    container_id: str
    path: Annotated[str, Meta(description="The folder that it was unpacked into.")]
    files: _Count
    folders: _Count
    links: Annotated[int, Meta(ge=0, description="Symbolic and hard ones.")]
    bytes: Annotated[int, Meta(ge=0, description="Of the files' content.")]


# -- files of a project


class FileExpiresAfterBody(_Request, frozen=True, kw_only=True):
    """When an uploaded file ends."""

    anchor: Literal["created_at"]
    seconds: int


Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]


class OpenAIFile(_Answer, frozen=True, kw_only=True):
    """A file of `/v1/files`."""

    object: Literal["file"] = "file"
    id: Annotated[str, Meta(pattern="^file-[0-9a-f]{32}$")]
    purpose: str
    filename: str
    bytes: _Count
    created_at: _UnixSeconds
    expires_at: _UnixSeconds | None
    status: Literal["processed"] = "processed"
    status_details: None = None


class ListFilesResponse(_Answer, frozen=True, kw_only=True):
    """A page of files; the ids are null when it is empty."""

    object: Literal["list"] = "list"
    data: list[OpenAIFile]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeleteFileResponse(_Answer, frozen=True, kw_only=True):
    """The file is gone; copies in containers stay."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


# -- running code: in


class CodeInterpreterCallBody(_Request, frozen=True, kw_only=True):
    """Python to run."""

    code: str
    timeout_ms: Annotated[int, Meta(ge=1)] | None = None
    html: (
        Annotated[bool, Meta(description="Values that have an HTML form, such as tables, as `html` outputs.")] | None
    ) = None
    stream: bool | None = None


class ShellCallBody(_Request, frozen=True, kw_only=True):
    """Commands to run, one after the other."""

    commands: Annotated[list[str], Meta(min_length=1)]
    timeout_ms: Annotated[int, Meta(ge=1, description="Bounds all commands together.")] | None = None
    max_output_length: (
        Annotated[int, Meta(ge=0, description="Characters of stdout and stderr together, for each command.")] | None
    ) = None
    call_id: Annotated[str, Meta(min_length=1, max_length=64, description="Comes back in the answer.")] | None = None
    stream: bool | None = None


Encoding = Literal["utf-8", "base64"]


class ProcessBody(_Request, frozen=True, kw_only=True):
    """A program to run."""

    argv: Annotated[
        list[str],
        Meta(
            min_length=1,
            description="The program, a path or a name on the `PATH`, and its arguments, exactly as it gets them.",
            extra_json_schema={"maxItems": 4096},
        ),
    ]
    env: Annotated[dict[str, str], Meta(description="On top of what every program of the container has.")] | None = None
    cwd: (
        Annotated[str, Meta(min_length=1, description="Working directory; a relative one is below `/mnt/data`.")] | None
    ) = None
    stdin: Annotated[str, Meta(description="What it reads, in `encoding`; without it there is nothing.")] | None = None
    user: (
        Annotated[str, Meta(min_length=1, description="The user that code runs as anyway, by name or number.")] | None
    ) = None
    timeout_ms: Annotated[int, Meta(ge=1)] | None = None
    encoding: (
        Annotated[Encoding, Meta(description="Of `stdin`, `stdout` and `stderr`; `base64` keeps every byte.")] | None
    ) = None
    max_output_bytes: Annotated[int, Meta(ge=0, description="Of stdout and stderr together.")] | None = None
    stream: bool | None = None


# -- running code: out

CallStatus = Literal["in_progress", "interpreting", "completed", "incomplete", "failed"]


class LogsOutput(_Answer, frozen=True, kw_only=True, tag_field="type", tag="logs"):
    """What a Python call wrote."""

    logs: str


class ImageOutput(_Answer, frozen=True, kw_only=True, tag_field="type", tag="image"):
    """A figure or displayed image, as a data URL."""

    url: str


class HtmlOutput(_Answer, frozen=True, kw_only=True, tag_field="type", tag="html"):
    """A value in its HTML form, only where `html` was asked for. Code wrote it: show it where it can do nothing."""

    html: str


class CodeInterpreterCall(_Answer, frozen=True, kw_only=True):
    """A Python call, in the words of the Responses API; `files` are those it made or changed."""

    id: str
    type: Literal["code_interpreter_call"] = "code_interpreter_call"
    status: CallStatus
    code: str
    container_id: str
    outputs: list[LogsOutput | ImageOutput | HtmlOutput]
    files: list[ContainerFileResource]


class ExitOutcome(_Answer, frozen=True, kw_only=True, tag_field="type", tag="exit"):
    """The command ended; 128 + n when signal n ended it."""

    exit_code: int


class TimeoutOutcome(_Answer, frozen=True, kw_only=True, tag_field="type", tag="timeout"):
    """The command was stopped when its time ran out, or was not begun any more."""


class SignalOutcome(_Answer, frozen=True, kw_only=True, tag_field="type", tag="signal"):
    """A signal ended the program."""

    signal: Annotated[int, Meta(ge=1)]
    name: str


class LostOutcome(_Answer, frozen=True, kw_only=True, tag_field="type", tag="lost"):
    """How the program ended is not known: it went away with its container or its sandbox, or was ended."""

    cause: Annotated[str, Meta(description="What happened; `notes` say it in words.")]


ProcessOutcome = ExitOutcome | SignalOutcome | TimeoutOutcome | LostOutcome


class OmittedOutput(_Answer, frozen=True, kw_only=True):
    """What was over the limit: so many bytes are missing after the first `offset` ones."""

    offset: _Count
    bytes: Annotated[int, Meta(ge=1)]


class ContainerProcess(_Answer, frozen=True, kw_only=True):
    """A program that was run."""

    id: Annotated[str, Meta(pattern="^proc_[0-9a-f]{48}$")]
    object: Literal["container.process"] = "container.process"
    container_id: str
    status: Annotated[
        Literal["in_progress", "completed", "incomplete", "failed"],
        Meta(description="`incomplete` when its time ran out, `failed` when how it ended is not known."),
    ]
    encoding: Encoding
    stdout: str
    stderr: str
    stdout_omitted: OmittedOutput | None
    stderr_omitted: OmittedOutput | None
    outcome: ProcessOutcome | None
    notes: Annotated[list[str], Meta(description="What the container's limits did to it.")]


class CommandResult(_Answer, frozen=True, kw_only=True):
    """What one command wrote, and how it ended."""

    stdout: str
    stderr: str
    outcome: ExitOutcome | TimeoutOutcome


class ShellCallOutput(_Answer, frozen=True, kw_only=True):
    """A shell call's output, in the words of the Responses API; `files` are those it made or changed."""

    id: str
    type: Literal["shell_call_output"] = "shell_call_output"
    call_id: str
    status: Literal["in_progress", "completed", "incomplete"]
    max_output_length: int | None
    output: list[CommandResult]
    files: list[ContainerFileResource]


# -- running code: out, as it happens


class _Event(_Answer, frozen=True, kw_only=True, tag_field="type"):
    sequence_number: int


class PythonStarted(_Event, frozen=True, kw_only=True, tag="response.code_interpreter_call.in_progress"):
    """The call left the queue."""

    output_index: Literal[0] = 0
    item_id: str
    item: CodeInterpreterCall


class PythonInterpreting(_Event, frozen=True, kw_only=True, tag="response.code_interpreter_call.interpreting"):
    """The code runs."""

    output_index: Literal[0] = 0
    item_id: str


class PythonLogsDelta(_Event, frozen=True, kw_only=True, tag="response.code_interpreter_call_logs.delta"):
    """A piece of the logs."""

    output_index: Literal[0] = 0
    item_id: str
    delta: str


class PythonImageAdded(_Event, frozen=True, kw_only=True, tag="response.code_interpreter_call_image.added"):
    """An image, where it appeared."""

    output_index: Literal[0] = 0
    item_id: str
    url: str


class PythonHtmlAdded(_Event, frozen=True, kw_only=True, tag="response.code_interpreter_call_html.added"):
    """A value in its HTML form, where it appeared."""

    output_index: Literal[0] = 0
    item_id: str
    html: str


class PythonCompleted(_Event, frozen=True, kw_only=True, tag="response.code_interpreter_call.completed"):
    """The code came to its end."""

    output_index: Literal[0] = 0
    item_id: str


class ShellItemAdded(_Event, frozen=True, kw_only=True, tag="response.output_item.added"):
    """The call left the queue."""

    output_index: Literal[0] = 0
    item: ShellCallOutput


class ShellDelta(_Answer, frozen=True, kw_only=True, omit_defaults=True):
    """What a command wrote since the last event."""

    stdout: str | UnsetType = UNSET
    stderr: str | UnsetType = UNSET


class ShellOutputDelta(_Event, frozen=True, kw_only=True, tag="response.shell_call_output_content.delta"):
    """A piece of one command's output."""

    output_index: Literal[0] = 0
    item_id: str
    command_index: int
    delta: ShellDelta


class ShellOutputDone(_Event, frozen=True, kw_only=True, tag="response.shell_call_output_content.done"):
    """One command ended."""

    output_index: Literal[0] = 0
    item_id: str
    command_index: int
    output: list[CommandResult]


class PythonItemDone(_Event, frozen=True, kw_only=True, tag="response.output_item.done"):
    """The whole item; the last event of a call that was not cut off."""

    output_index: Literal[0] = 0
    item: CodeInterpreterCall


class ShellItemDone(_Event, frozen=True, kw_only=True, tag="response.output_item.done"):
    """The whole item; the last event of a call that was not cut off."""

    output_index: Literal[0] = 0
    item: ShellCallOutput


class ProcessStarted(_Event, frozen=True, kw_only=True, tag="container.process.started"):
    """The program runs."""

    item: ContainerProcess


class ProcessDelta(_Answer, frozen=True, kw_only=True, omit_defaults=True):
    """What a program wrote since the last event, in its `encoding`."""

    stdout: str | UnsetType = UNSET
    stderr: str | UnsetType = UNSET


class ProcessOutputDelta(_Event, frozen=True, kw_only=True, tag="container.process.output.delta"):
    """A piece of a program's output."""

    item_id: str
    delta: ProcessDelta


class ProcessDone(_Event, frozen=True, kw_only=True, tag="container.process.done"):
    """The whole of it; the last event of a stream that was not cut off."""

    item: ContainerProcess


class StreamError(_Event, frozen=True, kw_only=True, tag="error"):
    """The call could not go on."""

    message: str
    code: str | None
    param: str | None


PythonStreamEvent = (
    PythonStarted
    | PythonInterpreting
    | PythonLogsDelta
    | PythonImageAdded
    | PythonHtmlAdded
    | PythonCompleted
    | PythonItemDone
    | StreamError
)
ProcessStreamEvent = ProcessStarted | ProcessOutputDelta | ProcessDone | StreamError
ShellStreamEvent = ShellItemAdded | ShellOutputDelta | ShellOutputDone | ShellItemDone | StreamError


# -- the service


class Health(_Answer, frozen=True, kw_only=True):
    """The server is up."""

    status: Literal["ok"] = "ok"


# -- rendering


def container_resource(container: Container) -> ContainerResource:
    """Write a container as on the wire."""
    policy = container.network_policy
    return ContainerResource(
        id=container.id,
        created_at=container.created_at,
        status=container.status.value,
        expires_after=ExpiresAfter(minutes=container.expires_after_minutes),
        last_active_at=container.last_active_at,
        memory_limit=container.memory_limit.value,
        name=container.name,
        network_policy=NetworkPolicyResource(
            type=policy.type,
            allowed_domains=list(policy.allowed_domains) if policy.type == "allowlist" else UNSET,
        ),
    )


def egress_decision(record: EgressRecord) -> EgressDecision:
    """Write a decision as on the wire."""
    return EgressDecision(
        id=record.id,
        created_at=record.at_ms / 1000,
        container_id=record.container_id,
        name=record.name,
        port=record.port,
        allowed=record.reason is EgressReason.ALLOWED,
        reason=record.reason.value,
        bytes_sent=record.bytes_sent,
        bytes_received=record.bytes_received,
    )


def container_stats(container_id: str, stats: container_stats_model.ContainerStats) -> ContainerStats:
    """Write what a container holds as on the wire."""
    now = stats.now
    traffic = now.traffic
    return ContainerStats(
        container_id=container_id,
        sampled_at=now.at,
        memory=MemoryStats(used_bytes=now.memory_bytes, limit_bytes=stats.memory_bytes_max),
        cpu=CpuStats(used_seconds=stats.cpu_s, cores=round(now.cores, 4), limit_cores=stats.cores_max),
        processes=ProcessStats(count=now.processes, limit=stats.processes_max),
        disk=DiskStats(used_bytes=now.disk_bytes, limit_bytes=stats.disk_bytes_max),
        network=None
        if traffic is None
        else NetworkStats(sent_bytes=traffic.sent, received_bytes=traffic.received, refused=traffic.refused),
        history=[
            StatsSample(
                at=sample.at,
                memory_bytes=sample.memory_bytes,
                cpu_cores=round(sample.cores, 4),
                processes=sample.processes,
                disk_bytes=sample.disk_bytes,
                sent_bytes=sample.traffic.sent if sample.traffic else 0,
                received_bytes=sample.traffic.received if sample.traffic else 0,
            )
            for sample in stats.history
        ],
    )


def terminal(found: terminals.Terminal) -> Terminal:
    """Write a terminal as on the wire."""
    return Terminal(
        id=found.id,
        created_at=created_at("term_", found.id),
        container_id=found.container_id,
        cols=found.size.columns,
        rows=found.size.rows,
        attached=found.is_attached,
    )


def container_file_resource(file: ContainerFile) -> ContainerFileResource:
    """Write a container's file as on the wire."""
    return ContainerFileResource(
        id=file.id,
        bytes=file.bytes,
        container_id=file.container_id,
        created_at=file.created_at,
        path=file.path,
        source=file.source,
    )


def file_resource(file: File) -> OpenAIFile:
    """Write a project's file as on the wire."""
    return OpenAIFile(
        id=file.id,
        purpose=file.purpose,
        filename=file.filename,
        bytes=file.bytes,
        created_at=file.created_at,
        expires_at=file.expires_at,
    )
