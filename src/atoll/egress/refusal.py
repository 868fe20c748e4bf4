"""Why a connection goes no further."""

from atoll.model.egress_decision import EgressReason


class RefusedError(Exception):
    """The connection ends here, for this reason."""

    def __init__(self, reason: EgressReason) -> None:
        super().__init__(reason.value)
        self.reason = reason
