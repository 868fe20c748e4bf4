import typer
app = typer.Typer(name="atoll", no_args_is_help=True)
