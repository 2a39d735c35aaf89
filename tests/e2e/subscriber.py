# SPDX-License-Identifier: BSD-3-Clause
"""A client of notifyd's UNIX sink: live (bare events) or a durable named subscription."""

import json
import socket
import threading
import time

from processes import Failed


class Subscriber:
    """Reads in a thread of its own. events: what came, in order; ids beside them (durable);
    other: lines that are neither (gaps, errors). With a name it comes back after a lost
    connection, as a good client does, unless reconnect is False; a live one can't."""

    def __init__(self, path, name=None, origin="oldest", reconnect=True, on_event=None, **wants):
        self.path = path
        self.request = b"\n"
        self.durable = name is not None
        if self.durable:
            self.request = json.dumps({"v": 1, "subscribe": name, "from": origin, **wants}
                                      ).encode() + b"\n"
        self.reconnect = reconnect and self.durable
        self.on_event = on_event
        self.events, self.ids, self.other, self.raw = [], [], [], []
        self.seen = set()
        self.duplicates = 0
        self.connections = 0
        self.error = None
        self.closing = False
        self.changed = threading.Condition()
        self.socket = self._connect()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _connect(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            s.connect(self.path)
            s.sendall(self.request)
        except OSError:
            s.close()
            raise
        self.connections += 1
        return s

    def _run(self):
        while not self.closing:
            try:
                self._read(self.socket)
            except OSError as e:
                self.error = e
            except ValueError as e:
                self.error = e
                break
            self.socket.close()
            if not self.reconnect or self.closing:
                break
            while not self.closing:
                time.sleep(0.02)
                try:
                    self.socket = self._connect()
                    break
                except OSError as e:
                    self.error = e
        with self.changed:
            self.reconnect = False
            self.changed.notify_all()

    def _read(self, s):
        rest = b""
        while not self.closing:
            data = s.recv(1 << 18)
            if not data:
                return
            lines = (rest + data).split(b"\n")
            rest = lines.pop()
            last = None
            with self.changed:
                for line in lines:
                    last = self._line(line) or last
                self.changed.notify_all()
            if last:
                s.sendall(json.dumps({"ack": last}).encode() + b"\n")

    def _line(self, line):
        value = json.loads(line)
        if not self.durable and "event" in value:
            self.raw.append(line.decode())
            self.events.append(value)
        elif self.durable and isinstance(value.get("event"), dict):
            if value["id"] in self.seen:
                self.duplicates += 1
                return value["id"]
            self.seen.add(value["id"])
            self.ids.append(value["id"])
            self.events.append(value["event"])
        else:
            self.other.append(value)
            return None
        if self.on_event:
            self.on_event(self.events[-1])
        return value["id"] if self.durable else None

    def wait(self, fn, timeout=60, what="events"):
        """Until fn(events) is true; then its value."""
        end = time.monotonic() + timeout
        with self.changed:
            while True:
                got = fn(self.events)
                if got:
                    return got
                left = end - time.monotonic()
                if left <= 0:
                    raise Failed("%s: not within %d s; %d events came, the last: %s; other: %s; "
                                 "error: %s" % (what, timeout, len(self.events), self.events[-3:],
                                                self.other[-3:], self.error))
                self.changed.wait(min(left, 0.5))

    def count(self, n, timeout=60):
        self.wait(lambda e: len(e) >= n, timeout, "%d events" % n)

    def find(self, name, since=0, timeout=60, **want):
        """The first event of that name from index since on that has these parameters."""
        def look(events):
            for e in events[since:]:
                if e["event"] == name and all(e.get(k) == v for k, v in want.items()):
                    return e
            return None
        return self.wait(look, timeout, "%s %s" % (name, want or ""))

    def close(self):
        self.closing = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.thread.join(5)
        self.socket.close()
