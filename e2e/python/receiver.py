"""A receiver of webhooks: a threaded HTTP server that keeps what arrives and can be told to fail.

Whoever waits for a delivery waits on the receiver's condition, with a deadline, and so is woken by
the arrival itself.
"""

import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DEADLINE_S = 30.0
MAX_BODY_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True)
class Delivered:
    """One request, as it came over the wire."""

    path: str
    headers: dict
    body: bytes
    at: float

    @property
    def message_id(self):
        return self.headers["webhook-id"]


class Receiver:
    """Listens on a free port from construction to `close`."""

    def __init__(self):
        self.status = 204
        self._arrived = threading.Condition()
        self._delivered = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.receiver = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def url(self, path="/hook"):
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def take(self, delivered):
        with self._arrived:
            self._delivered.append(delivered)
            self._arrived.notify_all()
            return self.status

    def wait_for(self, message_id, count=1):
        """The requests that carry this message, once there are `count` of them."""
        return self._wait(lambda: self._of(message_id), count, f"message {message_id}")

    def wait_for_all(self, message_ids):
        """One request for each message, by message id; forgets everything that has arrived."""
        missing = set(message_ids)
        read = 0

        def look():
            nonlocal read
            missing.difference_update(d.message_id for d in self._delivered[read:])
            read = len(self._delivered)
            return not missing

        with self._arrived:
            if not self._arrived.wait_for(look, DEADLINE_S):
                raise AssertionError(f"{len(missing)} messages did not arrive, such as {missing.pop()}")
            delivered, self._delivered = self._delivered, []
            return delivered

    def count(self, message_id):
        with self._arrived:
            return len(self._of(message_id))

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _of(self, message_id):
        return [d for d in self._delivered if d.message_id == message_id]

    def _wait(self, look, count, what):
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(look()) >= count, DEADLINE_S):
                raise AssertionError(f"{what}: {len(look())} of {count} requests arrived")
            return look()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        size = int(self.headers["content-length"])
        if size > MAX_BODY_BYTES:
            raise ValueError(f"a body of {size} bytes")
        headers = {name.lower(): value for name, value in self.headers.items()}
        delivered = Delivered(self.path, headers, self.rfile.read(size), time.time())
        self.send_response(self.server.receiver.take(delivered))
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def eventually(look, what):
    """Asks another process again and again until it says yes; the answer of the last look."""
    give_up = time.monotonic() + DEADLINE_S
    while not (answer := look()):
        if time.monotonic() > give_up:
            raise AssertionError(f"{what} did not happen within {DEADLINE_S:.0f} s")
        time.sleep(0.02)
    return answer
