"""What keeps a backup from being taken or brought back."""


class BackupError(Exception):
    """It cannot be done; the message says what was tried and what to do."""
