"""What tests of a running Atoll share: a real server, a thin HTTP client, and a look at the machine around it."""

import pytest

pytest.register_assert_rewrite("tests.harness.api", "tests.harness.server", "tests.sdk.checks")
