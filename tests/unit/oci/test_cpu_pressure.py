"""How much processes wait for a CPU."""

from pathlib import Path

from atoll.runtime.oci.cpu_pressure import CpuPressure, total_s

TEXT = "some avg10=93.44 avg60=91.92 avg300=78.69 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"


def test_reading() -> None:
    assert total_s(TEXT.format(1_500_000).encode()) == 1.5
    assert total_s(b"") == total_s(b"some\n") == 0


def test_the_share_of_the_time_since_the_last_look(tmp_path: Path) -> None:
    now = 0.0
    path = tmp_path / "cpu"
    path.write_text(TEXT.format(1_000_000))
    pressure = CpuPressure(path, lambda: now)
    path.write_text(TEXT.format(1_500_000))
    now = 2.0
    assert pressure.share() == 0.25
    now = 3.0
    assert pressure.share() == 0
    path.write_text(TEXT.format(9_000_000))
    now = 4.0
    assert pressure.share() == 1
    path.unlink()
    now = 5.0
    assert pressure.share() == 0
