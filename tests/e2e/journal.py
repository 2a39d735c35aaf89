# SPDX-License-Identifier: BSD-3-Clause
"""A second reader of the journal, from mboxevent-journal(5) alone: the records with their facts,
which no sink shows. Checksums (XXH3) are left to the first one."""

import json
import os
import struct
import time

from processes import Failed

SEGMENT = b"\xff\x00mbseg\xff"
RECORD = b"\xff\x00mbev\x00\xff"
HEADER = struct.Struct("<8sQIBBHQIHHII")
EVENT, SEAL = 1, 2
NATIVE = 1


class Record:
    def __init__(self, flags, facts, line):
        self.native = bool(flags & NATIVE)
        self.name, self.user, self.owner, self.mailbox = facts
        self.line = line
        self.event = json.loads(line)

    def __repr__(self):
        return "%s user=%s owner=%s mailbox=%s %s" % (self.name, self.user, self.owner,
                                                      self.mailbox, self.line)


class Journal:
    """Follows the journal of a directory: every record once."""

    def __init__(self, path):
        self.path = path
        self.base = None
        self.offset = 0

    def _segments(self):
        return sorted(int(n[:16], 16) for n in os.listdir(self.path)
                      if len(n) == 20 and n.endswith(".seg"))

    def new(self):
        """The records that came since the last call."""
        found = []
        while True:
            if self.base is None:
                later = self._segments()
                if not later:
                    return found
                self.base, self.offset = later[0], 0
            with open(os.path.join(self.path, "%016x.seg" % self.base), "rb") as f:
                data = f.read()
            sealed = self._read(data, found)
            later = [b for b in self._segments() if b > self.base]
            if not sealed or not later:
                return found
            self.base, self.offset = later[0], 0

    def _read(self, data, found):
        if self.offset == 0:
            if len(data) < 128:
                return False
            magic, version, length = struct.unpack_from("<8sII", data)
            if magic != SEGMENT or version != 1:
                raise Failed("not a segment: %r" % data[:16])
            self.offset = length
        while len(data) - self.offset >= HEADER.size:
            (magic, _, length, kind, name, flags, _, _, user, owner, mailbox,
             text) = HEADER.unpack_from(data, self.offset)
            if magic != RECORD:
                raise Failed("no record at %d: %r" % (self.offset, data[self.offset:][:16]))
            if len(data) - self.offset < length:
                return False
            if kind == SEAL:
                return True
            at, parts = self.offset + HEADER.size, []
            for part in (name, user, owner, mailbox, text):
                parts.append(data[at:at + part].decode())
                at += part
            if at != self.offset + length:
                raise Failed("lengths do not add up at %d" % self.offset)
            self.offset = at
            found.append(Record(flags, parts[:4], parts[4]))
        return False

    def until(self, enough, timeout=30):
        """New records until enough(records) is true; after the time-out what there is."""
        records, end = [], time.monotonic() + timeout
        while True:
            records += self.new()
            if enough(records) or time.monotonic() > end:
                return records
            time.sleep(0.01)
