"""Network policies that are in force but were not written, or the other way round, because the server died between."""

from atoll.service.app import Services
from atoll.store import containers


async def hold_policies(services: Services) -> int:
    """Let every sandbox of a container out by the policy in its row; gives how many there were."""
    observed = await services.sandboxes.observe()
    rows = await services.database.scan(lambda connection: containers.behind(connection, observed))
    for sandbox_id, container in rows.items():
        await services.containers.hold_policy(sandbox_id, container.id)
    return len(rows)
