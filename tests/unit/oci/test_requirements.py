"""What a machine must have."""

import pytest

from atoll.runtime.oci import requirements
from atoll.runtime.oci.requirements import MachineUnfitError


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("5.15.0-91-generic", False),
        ("5.18.19", False),
        ("5.19.0", True),
        ("6.1.0-18-amd64", True),
        ("10.0", True),
        ("strange", True),
    ],
)
def test_kernels(release: str, *, expected: bool) -> None:
    assert requirements.is_new_enough(release) is expected


def test_all_that_is_missing_is_named() -> None:
    missing = requirements.find_missing("no-such-runtime", "4.19.0")
    assert any("4.19.0 is older than 5.19" in line for line in missing)
    assert any("'no-such-runtime'" in line for line in missing)


def test_an_unfit_machine() -> None:
    with pytest.raises(MachineUnfitError, match="no-such-runtime"):
        requirements.check("no-such-runtime")
