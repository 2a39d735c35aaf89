# SPDX-License-Identifier: BSD-3-Clause
"""A TCP proxy that is as bad as a network can be."""

import random
import socket
import struct
import threading
import time

CHUNK = 1 << 16
UP, DOWN = "up", "down"  # from the client to the server, and back


class Pair:
    """One client and its connection to the server; a thread for each direction."""

    def __init__(self, proxy, client):
        self.proxy = proxy
        self.client = client
        self.server = None
        self.gone = False
        self.ends = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        if not self.proxy.wait_answering(self):
            return
        try:
            self.server = socket.create_connection(("127.0.0.1", self.proxy.to), 10)
            self.server.settimeout(None)
        except OSError:
            self.reset()
            return
        for one, other, way in ((self.client, self.server, UP), (self.server, self.client, DOWN)):
            threading.Thread(target=self._pump, args=(one, other, way), daemon=True).start()

    def _pump(self, one, other, way):
        proxy = self.proxy
        try:
            while True:
                proxy.wait_open(way, self)
                data = one.recv(CHUNK)
                if not data:
                    break
                # What was received before the way was closed stays here too.
                proxy.wait_open(way, self)
                if proxy.delay:
                    time.sleep(proxy.delay)
                if proxy.rate and way == UP:
                    time.sleep(len(data) / proxy.rate)
                cut = proxy.cut(way, len(data))
                if cut is not None:
                    other.sendall(data[:cut])
                    self.reset()
                    return
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            self.reset()
            return
        self.ends += 1
        if self.ends == 2:
            self.close()

    def reset(self):
        """RST to both sides: what is unsent is gone."""
        for s in (self.client, self.server):
            if s:
                try:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                except OSError:
                    pass
        self.close()

    def close(self):
        self.gone = True
        for s in (self.client, self.server):
            if s:
                try:
                    # A thread that waits in recv() would keep it open.
                    s.shutdown(socket.SHUT_RD)
                except OSError:
                    pass
                s.close()
        self.proxy.forget(self)


class Proxy:
    """Listens on the loopback, at .port, for the server at port `to` of it."""

    def __init__(self, to, window=0):
        """window: what it has received and not passed on, at most about."""
        self.to = to
        self.delay = 0
        self.rate = 0  # bytes a second up; 0: as fast as it goes
        self.accepted = 0  # connections so far
        self.resets = 0
        self.pairs = []
        self.held = set()  # ways on which nothing moves
        self.answering = True
        self.budget = None  # bytes up until the next reset
        self.changed = threading.Condition()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if window:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.listener.bind(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with self.changed:
                self.accepted += 1
                self.pairs.append(Pair(self, client))

    def forget(self, pair):
        with self.changed:
            if pair in self.pairs:
                self.pairs.remove(pair)
            self.changed.notify_all()

    def wait_answering(self, pair):
        with self.changed:
            self.changed.wait_for(lambda: self.answering or pair.gone)
        return not pair.gone

    def wait_open(self, way, pair):
        with self.changed:
            self.changed.wait_for(lambda: way not in self.held or pair.gone)
        if pair.gone:
            raise ConnectionResetError

    def cut(self, way, size):
        """Where in the next `size` bytes the connection is to be reset, if there."""
        with self.changed:
            if way != UP or self.budget is None:
                return None
            self.budget -= size
            if self.budget >= 0:
                return None
            at = max(size + self.budget, 0)
            self.budget = None
            self.resets += 1
            return at

    def reset_after(self, size):
        """Resets the connection that carries the size'th byte up from now, within a frame."""
        with self.changed:
            self.budget = size

    def reset(self):
        """Resets all connections now."""
        with self.changed:
            pairs = list(self.pairs)
            self.resets += 1
        for p in pairs:
            p.reset()

    def hold(self, *ways):
        """Nothing moves on these ways any more; nothing is closed."""
        with self.changed:
            self.held |= set(ways)

    def mute(self):
        """Resets all, and answers no connection made from now on, though it is accepted."""
        with self.changed:
            self.answering = False
        self.reset()

    def release(self):
        with self.changed:
            self.held.clear()
            self.answering = True
            self.changed.notify_all()

    def resets_at_random(self, times, least, most, seed):
        """One reset after the other; for a thread of its own. Ends early when told by close()."""
        rnd = random.Random(seed)
        for _ in range(times):
            before = self.resets
            self.reset_after(rnd.randint(least, most))
            with self.changed:
                while self.resets == before and self.listener.fileno() >= 0:
                    self.changed.wait(0.05)

    def close(self):
        self.listener.close()
        self.release()
        self.reset()
