"""The authorities that programs in this sandbox trust: one file, as Debian and everybody after it has it."""

from pathlib import Path
from typing import Final

_ROOTS: Final = Path("/etc/ssl/certs/ca-certificates.crt")


def trust(pem: str, roots: Path = _ROOTS) -> None:
    """Add an authority to those that are trusted; one that is there already is left alone. Raises ``OSError``."""
    trusted = roots.read_text() if roots.exists() else ""
    if pem in trusted:
        return
    roots.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    unfinished = roots.with_suffix(".unfinished")
    unfinished.write_text(f"{trusted.rstrip()}\n{pem}")
    unfinished.chmod(0o644)
    unfinished.rename(roots)
