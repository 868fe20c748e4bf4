"""Settings as options of a command: one for each setting, or for the few that a command has use for."""

import inspect
from collections.abc import Callable, Collection
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from atoll.cli.failure import fail
from atoll.settings import DESCRIPTIONS, Loaded, SettingsError, default_text, load, type_text


def with_settings(only: Collection[str] | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command ``--config`` and options for settings; it gets the outcome as its argument ``loaded``.

    Options keep their text: ``atoll.settings`` checks every value, wherever it comes from.
    """
    names = [name for name in DESCRIPTIONS if only is None or name in only]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(*, config: Path | None, **given: Any) -> None:
            wishes = {name: given.pop(name) for name in names}
            try:
                loaded = load(wishes, config=config)
            except SettingsError as error:
                fail(str(error), code=2)
            command(loaded=loaded, **given)

        own = [p for name, p in inspect.signature(command).parameters.items() if name != "loaded"]
        parameters = [*own, _config_option(), *(_option(name) for name in names)]
        vars(run)["__signature__"] = inspect.Signature(
            [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
        )
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def _config_option() -> inspect.Parameter:
    hint = Annotated[
        Path | None, typer.Option("--config", help="The settings file.", rich_help_panel="Settings", dir_okay=False)
    ]
    return inspect.Parameter("config", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)


def _option(name: str) -> inspect.Parameter:
    description = DESCRIPTIONS[name]
    text = f"{description.text} {type_text(name).capitalize()}; default {default_text(name)}.".replace("`", "")
    hint = Annotated[
        str | None,
        typer.Option(
            "--" + name.replace("_", "-"),
            help=text,
            rich_help_panel=f"Settings: {description.group.lower()}",
            show_default=False,
            metavar="VALUE",
        ),
    ]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)


__all__ = ["Loaded", "with_settings"]
