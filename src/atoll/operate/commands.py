"""Every command: those that speak HTTP, and those that touch this machine."""

from typing import Final

from typer import Typer

from atoll.cli.app import app
from atoll.operate.backup import backup, restore
from atoll.operate.config import config
from atoll.operate.doctor import doctor
from atoll.operate.down import down
from atoll.operate.egress import egress_process
from atoll.operate.image import image_app
from atoll.operate.keys import keys_app
from atoll.operate.serve import serve
from atoll.operate.supervisor import supervisor

all_commands: Final[Typer] = app

for command in (serve, down, backup, restore, doctor, config, supervisor):
    app.command(rich_help_panel="This machine")(command)
app.command("egress-process", hidden=True)(egress_process)
app.add_typer(keys_app, name="keys", rich_help_panel="This machine")
app.add_typer(image_app, name="image", rich_help_panel="This machine")
