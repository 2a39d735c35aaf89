# SPDX-License-Identifier: BSD-3-Clause
"""A listener at /dev/log where no syslog daemon runs, since Cyrus tells its troubles there alone."""

import os
import socket
import threading

DEVLOG = "/dev/log"


class Devlog:
    """Writes what is logged to log/syslog.log of the box. Leaves a real syslog alone, and
    another test's listener too."""

    def __init__(self, box):
        self.path = box.at("syslog.sock")
        self.active = False
        stale = os.path.islink(DEVLOG) and not os.path.exists(DEVLOG) \
            and "/mboxevent-" in os.readlink(DEVLOG)
        if os.geteuid() != 0 or (os.path.lexists(DEVLOG) and not stale):
            return
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)
        try:
            if stale:
                os.unlink(DEVLOG)
            os.symlink(self.path, DEVLOG)
        except OSError:  # another was quicker
            self.socket.close()
            return
        self.active = True
        self.file = open(box.at("log", "syslog.log"), "ab", buffering=0)
        threading.Thread(target=self._read, daemon=True).start()
        box.closers.append(self.close)

    def _read(self):
        while self.active:
            try:
                line = self.socket.recv(65536)
            except OSError:
                return
            if b"error deleting entry from sasldb" in line:
                continue  # saslpasswd2 says so of every new user
            self.file.write(line.rstrip(b"\n\0") + b"\n")

    def close(self):
        if self.active:
            self.active = False
            if os.path.islink(DEVLOG) and os.readlink(DEVLOG) == self.path:
                os.unlink(DEVLOG)
            self.socket.close()
