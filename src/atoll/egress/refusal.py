"""Why a connection goes no further."""

from atoll.model.egress_decision import EgressReason


class RefusedError(Exception):
    """The connection ends here, for this reason."""

    def __init__(self, reason: EgressReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


def refusal_text(target: str, reason: EgressReason) -> str:
    """Say to a program that its request went nowhere."""
    return f"[atoll] This request to {target} was not let out of the container: {reason}."
