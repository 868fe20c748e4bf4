"""Spans to a collector that is not there, or does not answer."""

import socket
import time

from atoll.otlp import OtlpTracing

LIBRARYS_OWN_PATIENCE_S = 30


def test_a_collector_that_is_away_holds_nothing_up() -> None:
    tracing = OtlpTracing("http://127.0.0.1:9", {}, 1.0, send_timeout_s=0.2)
    for _ in range(5000):  # more than wait at most
        span = tracing.begin_request("GET", [(b"traceparent", b"00-nonsense")])
        span.begin("call").end()
        span.end("GET /somewhere")
        span.end()
    tracing.close()


def test_what_is_not_sampled_goes_nowhere_and_does_no_harm() -> None:
    tracing = OtlpTracing("http://127.0.0.1:9", {}, 0.0)
    span = tracing.begin_request("GET", [])
    span.set("atoll.request.id", "req")
    span.begin("call").fail("timeout")
    span.end()
    tracing.close()


def test_the_end_does_not_wait_for_a_collector_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        tracing = OtlpTracing(url, {}, 1.0, send_timeout_s=3600, end_s_max=0.1)
        tracing.begin_request("GET", []).end()
        began = time.monotonic()
        tracing.close()
        assert time.monotonic() - began < LIBRARYS_OWN_PATIENCE_S
