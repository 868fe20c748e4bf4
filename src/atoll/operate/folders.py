"""The folders of an instance, with the owners and modes that keep server, supervisor and others apart."""

import os
import stat
from pathlib import Path

from atoll.operate.system_user import SystemUser, acting_as
from atoll.settings import Settings


class FolderError(Exception):
    """A folder cannot be made or used; the message says which and why."""


def prepare_folders(settings: Settings, user: SystemUser | None) -> None:
    """Make what is missing and set owners and modes. ``user`` is the server's, ``None`` when it is oneself.

    As root the data folder is root's and sticky: the server can make its own files in it, but cannot take away or
    replace the folders of the supervisor, which root would then follow.

    Raises ``FolderError``.
    """
    try:
        _make(settings.data_dir, 0o700 if user is None else 0o1771, None if user is None else (0, user.gid))
        _make(settings.run_dir, 0o700 if user is None else 0o711, None if user is None else (0, 0))
        if user is not None and settings.runtime == "oci":
            for folder in (settings.images_dir, settings.sandboxes_dir):
                _make(folder, 0o711, (0, 0))
        if user is not None:
            _check_reach(settings, user)
        _make_blobs(settings.blobs_dir, user)
    except OSError as error:
        raise FolderError(f"{error.filename} cannot be made or used: {error.strerror}.") from error


def _make(folder: Path, mode: int, owner: tuple[int, int] | None) -> None:
    folder.mkdir(mode=0o755 if owner else mode, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if owner is not None and (status.st_uid, status.st_gid) != owner:
            os.fchown(descriptor, *owner)
        if stat.S_IMODE(status.st_mode) != mode:
            os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def _make_blobs(folder: Path, user: SystemUser | None) -> None:
    with acting_as(user):
        folder.mkdir(mode=0o700, exist_ok=True)


def _check_reach(settings: Settings, user: SystemUser) -> None:
    """Find out now, with a clear message, what the server would stumble over later."""
    for folder in (settings.data_dir, settings.run_dir):
        closed = first_closed(folder, user)
        if closed is not None:
            raise FolderError(
                f"The user {user.name!r}, as which the server runs, cannot reach {folder}: {closed} is closed to it.\n"
                "Use another folder, or open that one with chmod o+x."
            )


def first_closed(path: Path, user: SystemUser) -> Path | None:
    """Give the topmost folder above ``path``, or ``path`` itself, that ``user`` may not pass; ``None`` if none."""
    with acting_as(user):
        for folder in (*reversed(path.parents), path):
            if not os.access(folder, os.X_OK if folder.is_dir() else os.R_OK, effective_ids=True):
                return folder
    return None
