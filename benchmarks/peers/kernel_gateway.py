"""Runs a Jupyter Kernel Gateway and speaks with its kernels.

It is given every advantage a client can give: one connection that stays, and acknowledgements sent at once. The
gateway writes an answer in several small packets without turning Nagle's algorithm off, so that a client that delays
its acknowledgements, as Linux does by default, waits 40 ms for each answer.
"""

import contextlib
import http.client
import itertools
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import websocket  # type: ignore[import-not-found] # in the peers' Python only

from benchmarks.peers.answering import answer

READY_S_MAX = 50.0
CALL_S_MAX = 60.0
END_S_MAX = 10.0


class Gateway:
    """A gateway on a port of the loopback interface, with a token, and its kernels by number."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._token = secrets.token_urlsafe(24)
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self._kernels: dict[int, Kernel] = {}

    def open(self) -> None:
        """Start it and wait until it answers."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        places = {f"JUPYTER_{name}_DIR": str(self._folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
        with (self._folder / "gateway.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "kernel_gateway", "--KernelGatewayApp.ip=127.0.0.1"),
                    *(f"--KernelGatewayApp.port={self._port}", "--KernelGatewayApp.port_retries=0"),
                ],
                env={
                    **os.environ,
                    **places,
                    "IPYTHONDIR": str(self._folder / "ipython"),
                    "KG_AUTH_TOKEN": self._token,
                },
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait_until_it_answers()

    def version(self) -> str:
        """Give the gateway's."""
        return version("jupyter-kernel-gateway")

    def start(self, code: str) -> tuple[int, str]:
        """Start a kernel, connect to it, and run the first code."""
        kernel = Kernel(self._port, self._token)
        try:
            output = kernel.run(code)
        except BaseException:
            kernel.end()
            raise
        number = next(self._numbers)
        self._kernels[number] = kernel
        return number, output

    def run(self, number: int, code: str) -> str:
        """Run code in a kernel that lives."""
        return self._kernels[number].run(code)

    def end(self, number: int, code: str = "") -> None:
        """Shut a kernel down."""
        del code
        self._kernels.pop(number).end()

    def close(self) -> None:
        """End all kernels and the gateway."""
        for kernel in self._kernels.values():
            with contextlib.suppress(OSError, RuntimeError):
                kernel.end()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(END_S_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + READY_S_MAX
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                ask(self._port, self._token, "GET", "/api")
            except OSError:
                time.sleep(0.05)
            else:
                return
        log = (self._folder / "gateway.log").read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(f"the gateway does not answer: {log[-300:]}")


class Kernel:
    """A kernel, and the connection to it."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._token = token
        self._session = secrets.token_hex(16)
        self._id = ask(port, token, "POST", "/api/kernels", {})["id"]
        try:
            self._socket = websocket.create_connection(
                f"ws://127.0.0.1:{port}/api/kernels/{self._id}/channels?session_id={self._session}",
                header=[f"Authorization: token {token}"],
                timeout=CALL_S_MAX,
            )
        except BaseException:
            ask(port, token, "DELETE", f"/api/kernels/{self._id}")
            raise

    def run(self, code: str) -> str:
        """Run code; give what it printed once the kernel is idle again."""
        request_id = secrets.token_hex(16)
        self._socket.send(json.dumps(execute_request(request_id, self._session, code)))
        output = ""
        while True:
            self._socket.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)  # the kernel takes it back
            message = json.loads(self._socket.recv())
            if message["parent_header"].get("msg_id") != request_id:
                continue
            content = message["content"]
            if message["msg_type"] == "error":
                raise RuntimeError(f"{content['ename']}: {content['evalue']}")
            if message["msg_type"] == "stream":
                output += content["text"]
            if message["msg_type"] == "status" and content["execution_state"] == "idle":
                return output

    def end(self) -> None:
        """Hang up and shut it down; the gateway answers when it is gone."""
        self._socket.close()
        ask(self._port, self._token, "DELETE", f"/api/kernels/{self._id}")


def execute_request(request_id: str, session: str, code: str) -> dict[str, Any]:
    """Give a message of the Jupyter protocol, version 5.3, as it goes over a WebSocket."""
    return {
        "channel": "shell",
        "header": {
            "msg_id": request_id,
            "msg_type": "execute_request",
            "session": session,
            "username": "",
            "date": "",
            "version": "5.3",
        },
        "parent_header": {},
        "metadata": {},
        "content": {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        },
        "buffers": [],
    }


def ask(port: int, token: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Send one request; give its JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=CALL_S_MAX)
    try:
        headers = {"Authorization": f"token {token}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        payload = response.read()
    finally:
        connection.close()
    if response.status // 100 != 2:
        raise RuntimeError(f"{method} {path} answered {response.status}: {payload[:300]!r}")
    return json.loads(payload) if payload else None


def main() -> None:
    """Answer until there are no more requests, then end everything."""
    gateway = Gateway(Path(sys.argv[1]))
    try:
        answer(
            {
                "open": gateway.open,
                "version": gateway.version,
                "start": gateway.start,
                "hold": gateway.start,
                "run": gateway.run,
                "end": gateway.end,
            }
        )
    finally:
        gateway.close()


if __name__ == "__main__":
    main()
