"""The OCI runtime keeps the same contract; the ``oci_runtime`` fixture skips where there is no root or no image."""

import pytest

from atoll.runtime.conformance import CHECKS, Bench, Check, DoesNotApplyError
from atoll.runtime.contract import Runtime


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(oci_runtime: Runtime, check: Check) -> None:
    bench = Bench(oci_runtime)
    try:
        await check(bench)
    except DoesNotApplyError as reason:
        pytest.skip(str(reason))
    finally:
        await bench.close()
