"""What can go wrong with images. Messages are for the operator: they name files and say what to do."""


class ImageError(Exception):
    """Base of what this package raises."""


class RecipeError(ImageError):
    """The recipe's folder is not one; the message names the file and what is wrong in it."""


class BuildError(ImageError):
    """A build did not come to its end; nothing of it is used."""


class ArchiveError(ImageError):
    """An archive cannot be imported: broken, hostile, too large, or without what a sandbox needs."""


class ImageNotFoundError(ImageError):
    """No complete image has that name or id."""
