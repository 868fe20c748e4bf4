"""What handlers need of a request beside Litestar's own class."""

from typing import Any, Final, cast

from litestar import Request
from litestar.datastructures import State
from litestar.types import Scope

from atoll.api.metrics import Metrics
from atoll.model.ids import ProjectId
from atoll.model.projects import Project
from atoll.service.app import Services

SERVICES: Final = "services"
METRICS: Final = "metrics"


class ApiRequest(Request[Project, Any, State]):
    """A request that knows its project and the services."""

    @property
    def project_id(self) -> ProjectId:
        """The project that the request's key opens; there is one behind ``auth.KeyRequired`` only."""
        return self.user.id

    @property
    def services(self) -> Services:
        """What the handlers call."""
        return services_of(self.scope)

    @property
    def metrics(self) -> Metrics:
        """What the handlers count in."""
        return metrics_of(self.scope)


def metrics_of(scope: Scope) -> Metrics:
    """Give what the handlers count in."""
    return cast("Metrics", scope["litestar_app"].state[METRICS])


def services_of(scope: Scope) -> Services:
    """Give the services that the application was built on."""
    return cast("Services", scope["litestar_app"].state[SERVICES])
