"""The entry point ``atoll``."""

import sys
from io import TextIOWrapper


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a container may say what no terminal can write
    if sys.argv[1:2] == ["serve"]:
        # It stays for as long as the server does: without the other commands it begins sooner and holds less.
        from atoll.operate.serve import serve_alone  # noqa: PLC0415 - see above

        serve_alone()
    else:
        from atoll.operate.commands import all_commands  # noqa: PLC0415 - see above
        from atoll.operate.local import find_local  # noqa: PLC0415 - see above

        all_commands(obj=find_local)


if __name__ == "__main__":
    main()
