"""The output bound: what is kept is exact, what is not is counted, and characters stay whole."""

from hypothesis import given
from hypothesis import strategies as st

from atoll.guest.output import STDERR, STDOUT, BoundedOutput, Unit


def through(output: BoundedOutput, chunks: list[tuple[int, bytes]], streams: int = 1) -> list[str]:
    kept = [b""] * streams
    for stream, chunk in chunks:
        kept[stream] += output.write(chunk, stream)
    for stream, rest in output.finish():
        kept[stream] += rest
    return [text.decode() for text in kept]


def test_what_fits_exactly_is_kept_whole() -> None:
    output = BoundedOutput(10)
    assert through(output, [(STDOUT, b"0123456789")]) == ["0123456789"]
    assert output.omitted_bytes == 0


def test_one_byte_more_is_cut_in_the_middle() -> None:
    output = BoundedOutput(10)
    assert through(output, [(STDOUT, b"0123456789a")]) == ["01234\n[atoll] 1 bytes of output are left out here.\n6789a"]
    assert output.omitted_bytes == 1


def test_the_head_goes_on_at_once_and_the_tail_at_the_end() -> None:
    output = BoundedOutput(8)
    assert output.write(b"abc") == b"abc"
    assert output.write(b"defgh") == b"d"
    assert output.finish() == [(STDOUT, b"efgh")]


def test_a_character_is_never_cut() -> None:
    output = BoundedOutput(10)
    (text,) = through(output, [(STDOUT, "ééééééé".encode())])
    assert text == "éé\n[atoll] 6 bytes of output are left out here.\néé"


def test_two_streams_share_the_limit_and_each_keeps_its_end() -> None:
    output = BoundedOutput(20, "characters", streams=2)
    stdout, stderr = through(output, [(STDOUT, b"x" * 100), (STDERR, b"oops"), (STDOUT, b"x" * 99 + b"!")], 2)
    assert stderr == "oops"
    assert stdout.startswith("x" * 10 + "\n[atoll] 184 bytes")
    assert stdout.endswith("\nxxxxx!")


def test_a_limit_of_nothing_keeps_only_the_line() -> None:
    assert through(BoundedOutput(0), [(STDOUT, b"abc")]) == ["[atoll] 3 bytes of output are left out here.\n"]


def test_a_line_of_the_agents_own_starts_on_a_line_of_its_own() -> None:
    output = BoundedOutput(100)
    assert output.write(b"abc") + output.write_line("[atoll] x") == b"abc\n[atoll] x\n"


def test_a_flood_costs_no_more_memory_than_the_limit() -> None:
    output = BoundedOutput(1000)
    for _ in range(100):
        output.write(b"y\n" * 50_000)
    assert output.omitted_bytes == 100 * 100_000 - 1000
    assert sum(len(rest) for _, rest in output.finish()) < 600


@given(
    st.lists(st.tuples(st.integers(0, 1), st.binary(max_size=40))),
    st.integers(0, 80),
    st.sampled_from(["bytes", "characters"]),
)
def test_kept_output_is_the_beginning_and_the_end_of_the_whole(
    chunks: list[tuple[int, bytes]], limit: int, unit: Unit
) -> None:
    output = BoundedOutput(limit, unit, streams=2)
    heads = [b"", b""]
    for stream, chunk in chunks:
        heads[stream] += output.write(chunk, stream)
    rests = [b"", b""]
    for stream, piece in output.finish():
        rests[stream] += piece
    lengths = 0
    for stream in (STDOUT, STDERR):
        whole = b"".join(chunk for number, chunk in chunks if number == stream).decode(errors="replace")
        head, rest = heads[stream].decode(), rests[stream].decode()
        assert whole.startswith(head)
        before, line, tail = rest.partition(" bytes of output are left out here.\n")
        if line:
            extra, _, count = before.rpartition("[atoll] ")
            assert whole.startswith(head + extra.removesuffix("\n"))
            assert whole.endswith(tail)
            kept = head + extra.removesuffix("\n") + tail
            assert len(kept.encode()) + int(count) == len(whole.encode())
        else:
            kept = head + rest
            assert kept == whole
        lengths += len(kept) if unit == "characters" else len(kept.encode())
    assert lengths <= limit
