"""Forms as clients really send them, in pieces of every size."""

from collections.abc import AsyncGenerator, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.api.errors import ClientGoneError
from atoll.api.multipart import (
    HEADER_BYTES_MAX,
    PARTS_MAX,
    TEXT_BYTES_MAX,
    FileForm,
    boundary_of,
    read_form,
)
from atoll.model.errors import InvalidRequestError, PayloadTooLargeError

FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n'
FILE_ID = b'--b\r\nContent-Disposition: form-data; name="file_id"\r\n\r\nfile-1\r\n'
END = b"--b--\r\n"


async def pieces(parts: Iterable[bytes], *, breaks_off: bool = False) -> AsyncGenerator[bytes, None]:
    for part in parts:
        yield part
    if breaks_off:
        raise ClientGoneError


async def read(
    body: bytes | list[bytes],
    *,
    boundary: str = "b",
    texts: tuple[str, ...] = ("file_id", "purpose"),
    file_bytes_max: int = 1000,
    exclusive: dict[str, str] | None = None,
    breaks_off: bool = False,
) -> tuple[FileForm, bytes | None]:
    form = await read_form(
        pieces([body] if isinstance(body, bytes) else body, breaks_off=breaks_off),
        boundary,
        file_param="file",
        text_params=texts,
        file_bytes_max=file_bytes_max,
        exclusive=exclusive,
    )
    content = None if form.chunks is None else b"".join([chunk async for chunk in form.chunks])
    return form, content


async def test_a_file() -> None:
    form, content = await read(FILE + END)
    assert (form.filename, content, form.texts) == ("a.txt", b"hello", {})


async def test_texts_before_and_after_the_file() -> None:
    purpose = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
    for body in (FILE_ID + FILE + purpose + END, purpose + FILE + FILE_ID + END):
        form, content = await read(body)
        assert content == b"hello"
        assert form.texts == {"file_id": "file-1", "purpose": "user_data"}


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        (b'form-data; name="file"', "upload"),
        (b'form-data; name="file"; filename=""', "upload"),
        (b'form-data; name="file"; filename="sub/dir/x.txt"', "sub/dir/x.txt"),
        (b"form-data; name=file; filename=x.txt; filename*=utf-8''x.txt", "x.txt"),
        (b"form-data; name=file; filename=x.txt", "x.txt"),
        (b'form-data; name="file"; filename="plain.txt"; filename*=UTF-8\'\'na%C3%AFve%20%E2%82%AC.txt', "naïve €.txt"),
        (b"form-data; name=\"file\"; filename*=iso-8859-1'en'%A3.txt", "£.txt"),
        ('form-data; name="file"; filename="naïve €.txt"'.encode(), "naïve €.txt"),
        (b'form-data; name="file"; filename="a%22b.txt"', 'a"b.txt'),
        (b'form-data; name="file"; filename="a\\"b.txt"', 'a"b.txt'),
        (b'FORM-DATA; NAME="file"; FILENAME="x.txt"', "x.txt"),
    ],
)
async def test_names_of_files(disposition: bytes, filename: str) -> None:
    form, content = await read(b"--b\r\nContent-Disposition: " + disposition + b"\r\n\r\nhello\r\n" + END)
    assert (form.filename, content) == (filename, b"hello")


async def test_no_parts_at_all() -> None:
    form, content = await read(END)
    assert (form.filename, content, form.texts) == (None, None, {})


async def test_preamble_and_epilogue() -> None:
    form, content = await read(b"This is a message\r\n" + FILE + END + b"after\r\n--b\r\n")
    assert (form.filename, content) == ("a.txt", b"hello")


async def test_a_java_text_part_with_a_content_type() -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="file_id"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n'
    form, _ = await read(part + b"file-1\r\n" + END)
    assert form.texts == {"file_id": "file-1"}


async def test_bytes_that_look_like_a_boundary() -> None:
    data = b"\r\n--\r\n--a\r\n--bb\r\n-\r\n\r\n--"
    body = b'--bcd\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + data + b"\r\n--bcd--\r\n"
    _, content = await read([body[i : i + 1] for i in range(len(body))], boundary="bcd")
    assert content == data


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=30))
async def test_where_the_network_cuts_does_not_matter(data: bytes, cuts: list[int]) -> None:
    body = b'--Xy9\r\nContent-Disposition: form-data; name="file"; filename="d"\r\n\r\n' + data + b"\r\n--Xy9--\r\n"
    if b"\r\n--Xy9" in data:
        return
    parts, at = [], 0
    for cut in cuts:
        parts.append(body[at : at + cut])
        at += cut
    parts.append(body[at:])
    _, content = await read([part for part in parts if part], boundary="Xy9")
    assert content == data


@pytest.mark.parametrize("size", [1000, 1001])
async def test_the_size_of_the_file_at_the_limit_and_past(size: int) -> None:
    body = FILE.replace(b"hello", b"x" * size) + END
    if size == 1000:
        assert (await read(body))[1] == b"x" * size
        return
    with pytest.raises(PayloadTooLargeError) as raised:
        await read(body)
    assert raised.value.param == "file"


@pytest.mark.parametrize("cut", range(1, len(FILE + FILE_ID + END) - 3, 7))
async def test_a_form_that_ends_early_is_refused_before_its_file_counts(cut: int) -> None:
    with pytest.raises(InvalidRequestError, match="multipart"):
        await read((FILE + FILE_ID + END)[:cut])


async def test_a_client_that_goes_away_in_the_middle() -> None:
    with pytest.raises(ClientGoneError):
        await read([FILE[:-4]], breaks_off=True)


async def test_what_stands_after_the_file_is_read_before_the_file_ends() -> None:
    with pytest.raises(InvalidRequestError, match="Mutually exclusive parameters"):
        await read(FILE + FILE_ID + END, exclusive={"file_id": "Mutually exclusive parameters: …"})
    with pytest.raises(InvalidRequestError, match="Mutually exclusive parameters"):
        await read(FILE_ID + FILE + END, exclusive={"file_id": "Mutually exclusive parameters: …"})
    with pytest.raises(InvalidRequestError, match="Send one file in each request"):
        await read(FILE + FILE + END)
    with pytest.raises(InvalidRequestError, match="Unknown parameter: 'colour'"):
        await read(FILE + FILE_ID.replace(b"file_id", b"colour") + END)
    with pytest.raises(InvalidRequestError, match="Duplicate parameter: 'file_id'"):
        await read(FILE_ID + FILE_ID + END)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"x" * 100_000,
        b"--b",
        b"--b\r\n",
        b"--b\nContent-Disposition: form-data; name=file\n\nx\n--b--\n",
        b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\nContent-Disposition: attachment; name=file\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\nbroken\r\n\r\nx\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n--b--\r\n',
        b"--b\r\nContent-Disposition: form-data; name=file; filename*=UTF-8''%FF\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\nContent-Disposition: form-data; name=file; filename*=utf-7''x\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\nContent-Disposition: form-data; name=file\r\nX: "
        + b"y" * (HEADER_BYTES_MAX + 1)
        + b"\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\nContent-Disposition: form-data; name=file\r\n" + b"X: y\r\n" * 100 + b"\r\nx\r\n--b--\r\n",
        b"--b\r\nContent-Disposition: form-data; name=file_id\r\n\r\n\xff\r\n--b--\r\n",
        b"--b\r\nContent-Disposition: form-data; name=file_id\r\n\r\na\0\r\n--b--\r\n",
    ],
)
async def test_what_is_no_form_is_an_invalid_request(body: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        await read(body)


async def test_the_size_of_a_text_at_the_limit_and_past() -> None:
    form, _ = await read(FILE_ID.replace(b"file-1", b"x" * TEXT_BYTES_MAX) + END)
    assert len(form.texts["file_id"]) == TEXT_BYTES_MAX
    with pytest.raises(InvalidRequestError, match="at most"):
        await read(FILE_ID.replace(b"file-1", b"x" * (TEXT_BYTES_MAX + 1)) + END)


async def test_the_number_of_parts_at_the_limit_and_past() -> None:
    def form(count: int) -> bytes:
        return b"".join(FILE_ID.replace(b"file_id", b"t%d" % i) for i in range(count)) + END

    names = tuple(f"t{i}" for i in range(PARTS_MAX + 1))
    assert len((await read(form(PARTS_MAX), texts=names))[0].texts) == PARTS_MAX
    with pytest.raises(InvalidRequestError, match="segment count"):
        await read(form(PARTS_MAX + 1), texts=names)


def test_boundaries() -> None:
    assert boundary_of("multipart/form-data; boundary=b") == "b"
    assert boundary_of('multipart/form-data; boundary="a b"') == "a b"
    assert boundary_of('Multipart/Form-Data; charset=utf-8; Boundary="b"') == "b"
    assert boundary_of("application/json") is None
    assert boundary_of(None) is None
    for content_type in (
        "multipart/form-data",
        "multipart/form-data; boundary=",
        f"multipart/form-data; boundary={'b' * 201}",
    ):
        with pytest.raises(InvalidRequestError):
            boundary_of(content_type)
