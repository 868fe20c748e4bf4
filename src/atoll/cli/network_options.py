"""Options that say what a container may reach."""

from typing import Annotated, Any

import typer

from atoll.cli.exit_codes import ExitCode
from atoll.cli.failure import fail
from atoll.settings import client_variable

Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", help="A domain that it may reach, as `example.com` or `*.example.com`; may be repeated."),
]
Secret = Annotated[
    list[str] | None,
    typer.Option(
        "--secret",
        metavar="DOMAIN:VARIABLE",
        help="A secret for a domain that is allowed, from the variable of that name here; may be repeated.",
    ),
]


def policy_of(allow: list[str] | None, secrets: list[str] | None) -> dict[str, Any] | None:
    """Give the network policy that options ask for; ``None`` for none. Secrets never stand on the command line."""
    domain_secrets = [_secret(text) for text in secrets or ()]
    if not allow:
        if domain_secrets:
            domain = domain_secrets[0]["domain"]
            fail(f"A --secret is for a domain that --allow names: add --allow {domain}.", code=ExitCode.USAGE)
        return None
    policy: dict[str, Any] = {"type": "allowlist", "allowed_domains": allow}
    return {**policy, "domain_secrets": domain_secrets} if domain_secrets else policy


def _secret(text: str) -> dict[str, str]:
    domain, colon, name = text.rpartition(":")
    if not (colon and domain and name):
        fail(f"A --secret is written DOMAIN:VARIABLE, which {text!r} is not.", code=ExitCode.USAGE)
    value = client_variable(name)
    if not value:
        fail(f"The variable {name} of --secret {text} is not set here.", code=ExitCode.USAGE)
    return {"domain": domain, "name": name, "value": value}
