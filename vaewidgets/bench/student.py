"""One student for `room`: the messages between a JupyterLab page and the server, without the page.

They are JupyterLab's: the kernel is started by the REST interface. Then there is one websocket for each
kernel in the protocol ``v1.kernel.websocket.jupyter.org``. Widget messages go to a subshell if the kernel has
one.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from jupyter_server.services.kernels.connection.base import (
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import WebSocketClosedError, websocket_connect

#: Seconds after which a request counts as never answered.
TIMEOUT = 120.0

_PROTOCOL = "v1.kernel.websocket.jupyter.org"
_LARGEST = 2**28


class Student:
    """A student: a kernel, and the connection that the student's page would have to it.

    Parameters
    ----------
    url, token : str
        Of the server, ``http://...``.

    Attributes
    ----------
    kernel : str
        The kernel's id.
    received : int
        Bytes that the server has sent.
    failures : list of str
        Exceptions in the kernel, text on its stderr, and requests that were not answered.
    """

    def __init__(self, url: str, token: str) -> None:
        self.kernel = ""
        self.received = 0
        self.failures: list[str] = []
        self._url, self._headers = url, {"Authorization": f"token {token}"}
        self._session = secrets.token_hex(16)
        self._pending: dict[str, _Asked] = {}
        self._widgets: dict[str, dict] = {}
        self._subshell: str | None = None
        self._socket: Any = None
        self._listener: Any = None

    async def open(self, cells: Sequence[str]) -> None:
        """Start the kernel and run the cells, one after the other, as "run all cells" does.

        Raises
        ------
        RuntimeError
            A cell has failed, or the server has not answered.
        """
        made = await AsyncHTTPClient().fetch(
            HTTPRequest(
                f"{self._url}/api/kernels", "POST", self._headers, '{"name": "python3"}',
                request_timeout=TIMEOUT,
            )
        )  # fmt: skip
        self.kernel = json.loads(made.body)["id"]
        address = f"{self._url.replace('http', 'ws', 1)}/api/kernels/{self.kernel}/channels"
        request = HTTPRequest(
            f"{address}?session_id={self._session}", headers=self._headers, connect_timeout=TIMEOUT
        )
        self._socket = await websocket_connect(request, subprotocols=[_PROTOCOL], max_message_size=_LARGEST)
        self._listener = asyncio.create_task(self._listen())
        about = await self._ask("shell", "kernel_info_request", {})
        if "kernel subshells" in about.get("supported_features", ()):
            subshell = await self._ask("control", "create_subshell_request", {})
            self._subshell = subshell["subshell_id"]
        for cell in cells:
            done = await self._ask("shell", "execute_request", _code(cell))
            if done.get("status") != "ok" or self.failures:
                raise RuntimeError(f"a student's cell failed: {self.failures or done}")
        # As a page does: what is large is asked for by the hash of its content, each once.
        for digest, comm in {digest: comm for comm, digest in self._assets()}.items():
            data = {"method": "custom", "content": {"type": "vw_asset", "hash": digest}}
            await self._ask("shell", "comm_msg", {"comm_id": comm, "data": data}, self._subshell)

    def _assets(self) -> Iterator[tuple[str, str]]:
        """List the widgets whose state names something large, with its hash."""
        for comm, state in self._widgets.items():
            for name in ("runtime", "plotly"):
                if name in state:
                    yield comm, state[name]
            for network in state.get("networks", {}).values():
                for part in network["parts"]:
                    yield comm, part["hash"]

    async def drag(self, slider: str, values: Sequence[float], rate: float, delay: float) -> list[float]:
        """Move a slider, and send its values as a page does.

        A page waits for the answer to an update of a widget before it sends the next one. Moves that happen
        meanwhile are sent as one update, the last value.

        Parameters
        ----------
        slider : str
            Its description.
        values : sequence of float
        rate : float
            Moves per second.
        delay : float
            Seconds before the first.

        Returns
        -------
        list of float
            Seconds from each move until the kernel has done all that the move asks for. The time that a move
            waits before it is sent counts.
        """
        wanted = {"_model_name": "FloatSliderModel", "description": slider}
        comm = next(comm for comm, state in self._widgets.items() if wanted.items() <= state.items())
        clock = asyncio.get_running_loop().time
        due = [clock() + delay + i / rate for i in range(len(values))]
        waits: list[float] = []
        while len(waits) < len(due):
            first = len(waits)
            await asyncio.sleep(max(0.0, due[first] - clock()))
            last = max(first, bisect(due, clock()) - 1)
            state = {"method": "update", "state": {"value": values[last]}, "buffer_paths": []}
            try:
                await self._ask("shell", "comm_msg", {"comm_id": comm, "data": state}, self._subshell)
            except RuntimeError as error:
                self.failures.append(str(error))
                break
            waits += [clock() - at for at in due[first : last + 1]]
        return waits

    async def evaluate(self, expression: str) -> str:
        """Return the repr of an expression in the kernel, or the message of what it raises."""
        reply = await self._ask("shell", "execute_request", _code("", value=expression))
        answer = reply["user_expressions"]["value"]
        return answer["data"]["text/plain"] if answer["status"] == "ok" else answer["evalue"]

    async def close(self) -> None:
        """Close the connection; the server ends the kernel when it ends itself."""
        if self._socket is not None:
            self._socket.close()
        if self._listener is not None:
            await self._listener

    async def _ask(self, channel: str, kind: str, content: dict, subshell: str | None = None) -> dict:
        """Send a message and wait until the kernel has handled it; return the content of its reply, or {}.

        Raises
        ------
        RuntimeError
            There was no answer in time.
        """
        name = secrets.token_hex(16)
        header = {
            "msg_id": name, "msg_type": kind, "session": self._session, "username": "student",
            "version": "5.4", "date": datetime.now(UTC).isoformat(),
        }  # fmt: skip
        if subshell is not None:
            header["subshell_id"] = subshell
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        asked = self._pending[name] = _Asked(wants_reply=kind.endswith("_request"))
        try:
            data = serialize_msg_to_ws_v1(message, channel, lambda part: json.dumps(part).encode())
            await self._socket.write_message(data, binary=True)
            await asyncio.wait_for(asked.done.wait(), TIMEOUT)
        except (TimeoutError, WebSocketClosedError) as error:
            raise RuntimeError(f"{kind} was not answered in {TIMEOUT:.0f} s: {error!r}") from error
        finally:
            del self._pending[name]
        if self._listener.done():
            raise RuntimeError(f"the server hung up before {kind} was answered")
        return asked.reply or {}

    async def _listen(self) -> None:
        while (data := await self._socket.read_message()) is not None:
            self.received += len(data)
            _, (header, parent, _, content, *_) = deserialize_msg_from_ws_v1(data)
            name = json.loads(parent).get("msg_id")
            self._receive(json.loads(header)["msg_type"], name, json.loads(content))
        for asked in self._pending.values():
            asked.done.set()

    def _receive(self, kind: str, name: str | None, content: dict) -> None:
        if kind == "comm_open":
            self._widgets[content["comm_id"]] = content["data"].get("state", {})
        elif kind == "error":
            self.failures.append(f"{content['ename']}: {content['evalue']}")
        elif kind == "stream" and content["name"] == "stderr":
            self.failures.append(content["text"].strip())
        asked = self._pending.get(name or "")
        if asked is None:
            return
        if kind.endswith("_reply"):
            asked.reply = content
        elif kind == "status" and content["execution_state"] == "idle":
            asked.idle = True
        # The reply and "idle" come by two channels, in any order.
        if asked.idle and (asked.reply is not None or not asked.wants_reply):
            asked.done.set()


@dataclass
class _Asked:
    """A request that was sent: done when the kernel is idle again and has replied, if it does."""

    wants_reply: bool
    reply: dict | None = None
    idle: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)


def _code(source: str, **expressions: str) -> dict:
    return {
        "code": source, "silent": False, "store_history": bool(source), "user_expressions": expressions,
        "allow_stdin": False, "stop_on_error": True,
    }  # fmt: skip
