"""The OCI runtime keeps the same contract, with sandboxes made on demand and with ones that were ready.

Their fixtures skip where there is no root or no image.
"""

import pytest

from atoll.runtime.conformance import CHECKS, Bench, Check, DoesNotApplyError
from atoll.runtime.contract import Runtime


async def keeps_to(runtime: Runtime, check: Check) -> None:
    bench = Bench(runtime)
    try:
        await check(bench)
    except DoesNotApplyError as reason:
        pytest.skip(str(reason))
    finally:
        await bench.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(oci_runtime: Runtime, check: Check) -> None:
    await keeps_to(oci_runtime, check)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance_with_a_pool(pooling_oci_runtime: Runtime, check: Check) -> None:
    await keeps_to(pooling_oci_runtime, check)
