"""``atoll create|ls|show|rm|interrupt|restart``: containers as such."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from atoll.cli.arguments import AlwaysJson, AsJson, Container, Containers, print_json, target_of
from atoll.cli.connection import connect
from atoll.cli.exit_codes import ExitCode
from atoll.cli.failure import fail
from atoll.cli.network_options import Allow, Secret, policy_of
from atoll.cli.progress import Progress, waiting
from atoll.cli.tables import print_table, time_text
from atoll.cli.terminal import write
from atoll.cli.transfers import put

_LIMIT_DEFAULT = 20
ExpiresAfter = Annotated[int | None, typer.Option(help="Minutes that it lives after its last use.", metavar="MINUTES")]


def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A name; several containers may share one.")],
    *,
    memory: Annotated[str | None, typer.Option(help="Memory limit: 1g (default), 4g, 16g or 64g.")] = None,
    expires_after: ExpiresAfter = None,
    file: Annotated[
        list[Path] | None, typer.Option("--file", "-f", help="Put a file in; may be repeated.", dir_okay=False)
    ] = None,
    file_id: Annotated[
        list[str] | None, typer.Option("--file-id", help="Copy in one of `atoll uploads`; may be repeated.")
    ] = None,
    allow: Allow = None,
    secret: Secret = None,
    as_json: AsJson = False,
) -> None:
    """Make a container and print its id."""
    files = file or []
    for path in files:
        if not path.is_file():
            fail(f"{path} is not a file.", code=ExitCode.USAGE)
    policy = policy_of(allow, secret)
    with connect(target_of(context)) as connection:
        with waiting("Making the container"):
            made = connection.post(
                "/containers",
                name=name,
                memory_limit=memory,
                expires_after=_expiry(expires_after),
                file_ids=file_id or None,
                network_policy=policy,
            )
        # Before the files: the container is there also when one of them does not get in.
        if as_json:
            print_json(made)
        else:
            write(sys.stdout, made["id"] + "\n")
        for path in files:
            put(connection, str(path), made["id"], "")


def update(
    context: typer.Context,
    container: Container,
    *,
    name: Annotated[str | None, typer.Option(help="Its new name.")] = None,
    expires_after: ExpiresAfter = None,
    allow: Allow = None,
    secret: Secret = None,
    drop_secrets: Annotated[
        bool, typer.Option("--drop-secrets", help="With --allow: it keeps no secret that is not given again.")
    ] = False,
    no_network: Annotated[bool, typer.Option("--no-network", help="Let it reach nothing any more.")] = False,
    _as_json: AlwaysJson = False,
) -> None:
    """Change a living container, and print it as JSON. What is not named stays; --allow names all that is allowed.

    Secrets that it has stay with their domains, as far as those are allowed still.
    """
    policy = policy_of(allow, secret)
    if policy and no_network:
        fail("Give --allow or --no-network, not both.", code=ExitCode.USAGE)
    if drop_secrets and not policy:
        fail("--drop-secrets goes with --allow, which names all that is allowed.", code=ExitCode.USAGE)
    change = {
        "name": name,
        "expires_after": _expiry(expires_after),
        "network_policy": {"type": "disabled"} if no_network else policy,
        "keep_domain_secrets": True if policy and not drop_secrets else None,
    }
    if not any(change.values()):
        fail("Say what is to change; `atoll update --help` tells what can.", code=ExitCode.USAGE)
    with connect(target_of(context)) as connection, waiting("Changing it"):
        changed = connection.post(f"/containers/{connection.find_container(container)}", **change)
    print_json(changed)


def _expiry(minutes: int | None) -> dict[str, object] | None:
    return None if minutes is None else {"anchor": "last_active_at", "minutes": minutes}


def ls(
    context: typer.Context,
    *,
    name: Annotated[str | None, typer.Option(help="Only those of exactly this name.")] = None,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1)] = _LIMIT_DEFAULT,
    everything: Annotated[bool, typer.Option("--all", "-a", help="All there are.")] = False,
    order: Annotated[str, typer.Option(help="desc (newest first) or asc.")] = "desc",
    as_json: AsJson = False,
) -> None:
    """List containers, newest first."""
    with connect(target_of(context)) as connection, waiting("Looking"):
        found = list(connection.pages("/containers", None if everything else limit, name=name, order=order))
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "name", "status", "memory", "created", "last active"),
        (
            (
                item["id"],
                item["name"],
                item["status"],
                item.get("memory_limit") or "-",
                time_text(item["created_at"]),
                time_text(item.get("last_active_at")),
            )
            for item in found
        ),
    )


def show(context: typer.Context, container: Container, *, _as_json: AlwaysJson = False) -> None:
    """Print everything about a container, as JSON."""
    with connect(target_of(context)) as connection, waiting("Looking"):
        found = connection.get(f"/containers/{connection.find_container(container)}")
    print_json(found)


def rm(
    context: typer.Context,
    containers: Containers,
    *,
    as_json: AsJson = False,
) -> None:
    """Remove containers with all that is in them."""
    with connect(target_of(context)) as connection:
        # All are looked up first: a name that is no container's removes nothing.
        ids = [connection.find_container(container) for container in containers]
        gone = []
        with Progress("Removing", len(ids), unit="containers") as progress:
            for container_id in ids:
                gone.append(connection.delete(f"/containers/{container_id}"))
                progress.advance(1)
    if as_json:
        print_json(gone)


def interrupt(context: typer.Context, container: Container, *, _as_json: AlwaysJson = False) -> None:
    """Stop the call that runs in a container; variables are kept."""
    with connect(target_of(context)) as connection, waiting("Interrupting"):
        answer = connection.post(f"/containers/{connection.find_container(container)}/interrupt")
    print_json(answer)


def restart(context: typer.Context, container: Container, *, _as_json: AlwaysJson = False) -> None:
    """End everything that runs in a container; files are kept."""
    with connect(target_of(context)) as connection, waiting("Starting anew"):
        answer = connection.post(f"/containers/{connection.find_container(container)}/restart")
    print_json(answer)
