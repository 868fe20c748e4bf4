"""When a container's time is over."""

from atoll.model.containers import Container, ContainerStatus
from atoll.model.ids import ContainerId, ProjectId
from atoll.model.memory_limit import MemoryLimit
from atoll.model.network_policy import NETWORK_DISABLED


def test_expires_at() -> None:
    container = Container(
        id=ContainerId("c"),
        project_id=ProjectId("p"),
        name="n",
        created_at=0,
        last_active_at=1000,
        expires_after_minutes=20,
        memory_limit=MemoryLimit.ONE_GIB,
        network_policy=NETWORK_DISABLED,
        status=ContainerStatus.RUNNING,
        sandbox_id=None,
    )
    assert container.expires_at == 1000 + 20 * 60
