"""Which store a URL names."""

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from atoll.blobs.blobs import Blobs
from atoll.blobs.folder import open_folder


def open_blobs(url: str) -> Blobs:
    """Open the store at ``file:///absolute/folder`` or any of obstore's URLs (``s3://bucket/prefix``).

    A local folder is made, readable by its owner only.
    """
    if url.startswith("file://"):
        return open_folder(Path(url2pathname(urlsplit(url).path)))
    # Only here, because it is large and most servers need none of it.
    from obstore.store import from_url  # noqa: PLC0415

    from atoll.blobs.bucket import BucketBlobs  # noqa: PLC0415

    return BucketBlobs(from_url(url))
