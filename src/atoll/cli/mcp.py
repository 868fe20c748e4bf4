"""``atoll mcp``: containers as tools for programs that speak the Model Context Protocol."""

import typer

from atoll.cli.arguments import target_of
from atoll.cli.connection import http_options


def mcp(context: typer.Context) -> None:
    """Serve containers as tools for models, over stdin and stdout. For clients of the Model Context Protocol."""
    import httpx  # noqa: PLC0415 - slow to load, and no other command needs it

    from atoll.mcp.over_stdio import serve  # noqa: PLC0415 - likewise

    serve(httpx.AsyncClient(**http_options(target_of(context))))
