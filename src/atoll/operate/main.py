"""The entry point ``atoll``: the commands that speak HTTP, and those that touch this machine."""

from atoll.cli.app import app
from atoll.operate.config import config
from atoll.operate.serve import serve


def main() -> None:
    """Run the command line."""
    app()


app.command(rich_help_panel="This machine")(serve)
app.command(rich_help_panel="This machine")(config)

if __name__ == "__main__":
    main()
