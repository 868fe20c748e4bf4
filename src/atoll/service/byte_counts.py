"""Counting bytes on their way in."""

from collections.abc import AsyncIterator

from atoll.model.errors import PayloadTooLargeError


async def bounded(
    chunks: AsyncIterator[bytes], bytes_max: int, *, what: str = "file", param: str | None = "file"
) -> AsyncIterator[bytes]:
    """Pass chunks on. Raises ``PayloadTooLargeError`` at the first byte over ``bytes_max``."""
    left = bytes_max
    async for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise PayloadTooLargeError(
                f"The {what} is larger than {bytes_max} bytes, the largest that this server takes.", param=param
            )
        yield chunk
