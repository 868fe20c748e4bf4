"""The entry point ``atoll``: the commands that speak HTTP, and those that touch this machine."""

import sys
from io import TextIOWrapper

from atoll.cli.app import app
from atoll.operate.backup import backup, restore
from atoll.operate.config import config
from atoll.operate.doctor import doctor
from atoll.operate.down import down
from atoll.operate.egress import egress_process
from atoll.operate.image import image_app
from atoll.operate.keys import keys_app
from atoll.operate.local import find_local
from atoll.operate.serve import serve
from atoll.operate.supervisor import supervisor


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a container may say what no terminal can write
    app(obj=find_local)


for command in (serve, down, backup, restore, doctor, config, supervisor):
    app.command(rich_help_panel="This machine")(command)
app.command("egress-process", hidden=True)(egress_process)
app.add_typer(keys_app, name="keys", rich_help_panel="This machine")
app.add_typer(image_app, name="image", rich_help_panel="This machine")

if __name__ == "__main__":
    main()
