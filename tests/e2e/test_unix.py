#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The unix sink, as its clients see it: live events, durable subscriptions, acks, gaps, errors."""

import glob
import json
import os
import re
import select
import signal
import socket
import stat
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import tap  # noqa: E402
from notifyd import Notifyd  # noqa: E402
from processes import Box, Failed, wait_for  # noqa: E402
from tap import Cases, check, same  # noqa: E402

case = Cases()
FOREIGN = "00112233-4455-6677-8899-aabbccddeeff-00000000000000a0"


class Client:
    """One connection, read step by step."""

    def __init__(self, path, first=None):
        self.rest = b""
        self.ended = False
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(60)
        self.socket.connect(path)
        if first is not None:
            self.say(first)

    def say(self, what):
        """A dict as JSON, bytes as they are; a line."""
        if not isinstance(what, bytes):
            what = json.dumps(what).encode()
        try:
            self.socket.sendall(what + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was answered already; the answer is still there to read

    def line(self):
        """The next line as bytes; None at the end."""
        while b"\n" not in self.rest:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            if not data:
                self.ended = True
                return None
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return line

    def json(self):
        line = self.line()
        return None if line is None else json.loads(line)

    def take(self, n):
        return [self.json() for _ in range(n)]

    def quiet(self, seconds=0.3):
        """True when nothing comes for a while."""
        return not self.rest and not select.select([self.socket], [], [], seconds)[0]

    def ack(self, line):
        self.say({"ack": line["id"]})

    def end(self):
        """What comes up to the end of the connection."""
        lines = []
        while True:
            line = self.json()
            if line is None:
                return lines
            lines.append(line)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class World:
    def __init__(self):
        self.box = Box("unix")
        try:
            self.n = 0
            self.box.own(self.box.path)
            self.local = self.box.at("run", "events")
            self.few = self.box.at("few")
            self.short = self.box.at("short")
            self.conf = {
                "mboxevent_journal": self.box.at("journal"),
                "mboxevent_segment_size": "1M",
                # no segment may go while a test is looking at it
                "mboxevent_retain": "1h",
                "notifyd_sinks": "local few short",
                "notifyd_local_type": "unix",
                "notifyd_local_path": self.local,
                "notifyd_local_mode": "0600",
                "notifyd_local_unacked": "100000",
                "notifyd_local_stall": "5m",  # some clients here have to wait for their turn
                "notifyd_few_type": "unix",
                "notifyd_few_path": self.few,
                "notifyd_few_groups": "message subscription",
                "notifyd_few_unacked": "10",
                "notifyd_few_clients": "3",
                "notifyd_short_type": "unix",
                "notifyd_short_path": self.short,
                "notifyd_short_stall": "3s",
                "notifyd_short_expire": "1s",
                "notifyd_short_unacked": "100000",
                # no datagram or dlist socket is needed here
                "servername": "imap.example.org",
                "configdirectory": self.box.folder("conf", mode=0o700),
            }
            self.imapd_conf = self.box.at("imapd.conf")
            with open(self.imapd_conf, "w", encoding="ascii") as f:
                f.writelines("%s: %s\n" % pair for pair in self.conf.items())
            self.notifyd = Notifyd(self.box, tap.top("TOP_BUILDDIR"), self.imapd_conf, self.conf)
            self.notifyd.start()
        except BaseException:
            self.box.close()
            raise

    def logs(self):
        return self.box.logs()

    def close(self):
        self.box.close()

    def cpu(self):
        """Seconds that notifyd's processes have used."""
        ticks = 0
        for pid in self.notifyd.children():
            with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as f:
                fields = f.read().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def make(self, count, event="MessageNew", user="jane", pad=0):
        """Events that are told apart by their number."""
        made = []
        for _ in range(count):
            self.n += 1
            made.append({"event": event,
                         "uri": "imap://%s@imap.example.org/INBOX;UIDVALIDITY=1/;UID=%d"
                                % (user, self.n),
                         "user": user, "vnd.example.n": self.n})
            if pad:
                made[-1]["vnd.example.pad"] = "x" * pad
        return made

    def send(self, events):
        text = "".join(json.dumps(e, sort_keys=True, separators=(",", ":")) + "\n"
                       for e in events)
        self.notifyd.ctl("send", "-", input=text)
        return events

    def emit(self, count, **how):
        return self.send(self.make(count, **how))

    def live(self, path=None):
        """A live client that is known to be served: it got a first event."""
        c = Client(path or self.local, b"")
        deadline = time.monotonic() + 20
        while not select.select([c.socket], [], [], 0.2)[0]:
            if time.monotonic() > deadline:
                raise Failed("a live client gets nothing")
            self.emit(1)
        while not c.quiet(0.1):
            c.line()
        return c

    def cursor(self, name):
        with open(self.box.at("journal", "cursors", "local@" + name), "rb") as f:
            return f.read()

    def subscribe(self, name, path=None, **more):
        return Client(path or self.local, {"v": 1, "subscribe": name, **more})

    def subscription(self, name, path=None, **more):
        """Makes one that starts now, and leaves it."""
        with self.subscribe(name, path, **more) as c:
            sink = {None: "local", self.local: "local", self.few: "few"}.get(path, "short")
            wait_for("cursor of " + name, lambda: os.path.exists(
                self.box.at("journal", "cursors", "%s@%s" % (sink, name))))
            return c


def events(lines):
    return [line["event"] for line in lines]


@case("the socket has its mode, and a directory was made for it")
def socket_mode(w):
    st = os.lstat(w.local)
    check(stat.S_ISSOCK(st.st_mode), "no socket")
    same(stat.S_IMODE(st.st_mode), 0o600)
    same(stat.S_IMODE(os.lstat(w.few).st_mode), 0o660, "default mode")
    same(stat.S_IMODE(os.stat(os.path.dirname(w.local)).st_mode), 0o755, "directory")
    same([n for n in os.listdir(os.path.dirname(w.local)) if n != "events"], [], "left over")


@case("a live client gets the documented JSON bare, byte for byte, in order")
def live(w):
    with w.live() as c:
        want = w.emit(500)
        got = [c.line() for _ in want]
        same([json.loads(g) for g in got], want)
        same(got[0], json.dumps(want[0], sort_keys=True, separators=(",", ":")).encode())
        check(c.quiet(), "more came")


@case("CR LF, empty lines later, and a client that shuts its sending side down")
def half_closed(w):
    with w.live() as c, Client(w.local, b"\r") as crlf:
        crlf.say(b"")
        crlf.socket.shutdown(socket.SHUT_WR)
        time.sleep(0.2)
        want = w.emit(3)
        same(c.take(3), want)
        same(crlf.take(3), want)


@case("a durable subscription: ids, acks, and it comes back where it was")
def durable(w):
    with w.subscribe("durable") as c:
        wait_for("the cursor", lambda: os.path.exists(
            w.box.at("journal", "cursors", "local@durable")))
        time.sleep(0.1)
        want = w.emit(10)
        got = c.take(10)
        same(events(got), want)
        ids = [g["id"] for g in got]
        same(ids, sorted(set(ids)), "ids grow")
        check(re.fullmatch(r"[0-9a-f-]+-[0-9a-f]{16}", ids[0]), "form of the id " + ids[0])
        c.ack(got[3])
        c.ack(got[3])  # twice does no harm
    more = w.emit(5)
    with w.subscribe("durable", **{"from": "newest"}) as c:
        got = c.take(11)
        same(events(got), want[4:] + more, "from the last ack on")
        same([g["id"] for g in got[:6]], ids[4:], "the same ids again")
        c.ack(got[-1])
    with w.subscribe("durable", **{"from": "oldest"}) as c:
        check(c.quiet(), "all was acknowledged, yet something comes")
        last = w.emit(1)
        same(events(c.take(1)), last)


@case("acks in one write with the request, and cumulative")
def ack_burst(w):
    w.subscription("burst")
    want = w.emit(1000)
    with w.subscribe("burst") as c:
        got = c.take(1000)
        same(events(got), want)
        c.socket.sendall(b"".join(b'{"ack":"%s"}\n' % g["id"].encode() for g in got[:700]))
    with w.subscribe("burst") as c:
        same(events(c.take(300)), want[700:])


@case("never more unacknowledged lines than the limit")
def window(w):
    w.subscription("window", w.few)
    want = w.emit(35)
    with w.subscribe("window", w.few) as c:
        got = c.take(10)
        check(c.quiet(), "an eleventh line")
        c.ack(got[3])
        got += c.take(4)
        check(c.quiet(), "more than were acknowledged")
        while len(got) < 35:
            c.ack(got[-1])
            got += c.take(min(10, 35 - len(got)))
        same(events(got), want)


@case("a second client of a name is refused, the first goes on, then the name is free")
def second(w):
    with w.subscribe("one") as c:
        wait_for("the cursor", lambda: os.path.exists(w.box.at("journal", "cursors", "local@one")))
        with w.subscribe("one") as other:
            answer = other.end()
            same(len(answer), 1)
            check("in use" in answer[0]["error"], answer)
        with Client(w.local, {"unsubscribe": "one"}) as other:
            check("in use" in other.end()[0]["error"], "unsubscribed by another")
        want = w.emit(3)
        got = c.take(3)
        same(events(got), want)
        c.ack(got[-1])
    for _ in range(50):  # at once, each time
        w.subscribe("one").close()
    with w.subscribe("one") as c:
        last = w.emit(1)
        same(events(c.take(1)), last)


BAD = [
    (b"x", "JSON"),
    (b'"subscribe"', "object"),
    (b"[]", "object"),
    (b"1", "object"),
    (b"{}", "exactly one"),
    (b'{"v":1}', "exactly one"),
    (b'{"v":1,"subscribe":"a"', "JSON"),
    (b'{"v":1,"subscribe":"a"} x', "JSON"),
    (b'{"v":1,"v":1,"subscribe":"a"}', "JSON"),
    (b'{"v":1,"subscribe":"a\xff"}', "JSON"),
    (b'{"v":1,"subscribe":"a\\u0000"}', "JSON"),
    (b'\x00{"v":1,"subscribe":"a"}', "JSON"),
    (b'{"subscribe":"bad"}', "v:"),
    (b'{"v":2,"subscribe":"bad"}', "v:"),
    (b'{"v":"1","subscribe":"bad"}', "v:"),
    (b'{"v":1.0,"subscribe":"bad"}', "v:"),
    (b'{"v":true,"subscribe":"bad"}', "v:"),
    (b'{"v":1,"subscribe":""}', "subscribe:"),
    (b'{"v":1,"subscribe":1}', "subscribe:"),
    (b'{"v":1,"subscribe":null}', "subscribe:"),
    (b'{"v":1,"subscribe":"Bad"}', "subscribe:"),
    (b'{"v":1,"subscribe":"../bad"}', "subscribe:"),
    (b'{"v":1,"subscribe":"bad name"}', "subscribe:"),
    (b'{"v":1,"subscribe":"' + b"a" * 65 + b'"}', "subscribe:"),
    (b'{"v":1,"subscribe":"bad","from":"now"}', "from:"),
    (b'{"v":1,"subscribe":"bad","from":0}', "from:"),
    (b'{"v":1,"subscribe":"bad","from":"0-0"}', "from:"),
    (b'{"v":1,"subscribe":"bad","form":"oldest"}', "form"),
    (b'{"v":1,"subscribe":"bad","owners":["a"]}', "owners"),
    (b'{"v":1,"subscribe":"bad","events":"MessageNew"}', "events"),
    (b'{"v":1,"subscribe":"bad","events":[]}', "events"),
    (b'{"v":1,"subscribe":"bad","events":[1]}', "events[0]"),
    (b'{"v":1,"subscribe":"bad","events":["MessageNew",""]}', "events[1]"),
    (b'{"v":1,"subscribe":"bad","events":["MessageNew Login"]}', "events[0]"),
    (b'{"v":1,"subscribe":"bad","events":["MessageNow"]}', "MessageNew"),
    (b'{"v":1,"subscribe":"bad","groups":["mesage"]}', "message"),
    (b'{"v":1,"subscribe":"bad","users":[{}]}', "users[0]"),
    (b'{"v":1,"subscribe":"bad","unsubscribe":"bad"}', "exactly one"),
    (b'{"v":1,"unsubscribe":"nobody"}', "no subscription"),
    (b'{"unsubscribe":"x","from":"oldest"}', "from"),
    (b'{"ack":"' + FOREIGN.encode() + b'"}', "subscribe first"),
    (b"[" * 60000, "JSON"),
    (b"[" * 70000, "longer"),
    (b'{"v":1,"subscribe":"bad","x":"' + b"y" * 200000, "longer"),
]


@case("bad requests get one error line that says what, and the end")
def bad(w):
    for request, says in BAD:
        with Client(w.local, request) as c:
            answer = c.end()
            same(len(answer), 1, "lines for %r" % request[:80])
            same(list(answer[0]), ["error"], "keys for %r" % request[:80])
            check(says in answer[0]["error"], "%r: %r lacks %r"
                  % (request[:80], answer[0]["error"], says))
    same(glob.glob(w.box.at("journal", "cursors", "*@bad")), [], "made by a refused request")


@case("wrong later lines end the connection and lose nothing")
def bad_later(w):
    w.subscription("later")
    want = w.emit(5)
    # an id of this journal that no line of the connection has
    with w.subscribe("later") as c:
        first = c.take(5)[0]["id"]
    never = first[:-16] + "%016x" % (int(first[-16:], 16) + 1)
    for request, says in [
            ({"ack": FOREIGN}, "not sent"), ({"ack": never}, "not sent"),
            ({"ack": 1}, "ack:"), ({"ack": "x"}, "ack:"), ({"ack": first, "x": 1}, "x"),
            ({"v": 2, "ack": first}, "v:"), (b"{", "JSON"),
            ({"v": 1, "subscribe": "later"}, "subscribe:"),
            ({"unsubscribe": "durable"}, "unsubscribe:")]:
        with w.subscribe("later") as c:
            got = c.take(5)
            same(events(got), want)
            c.say(request)
            answer = c.end()
            same(len(answer), 1, "lines for %r" % request)
            check(says in answer[0]["error"], "%r: %r" % (request, answer))
    with w.live() as c:
        c.say({"ack": first})
        check("live" in c.end()[-1]["error"], "an ack on a live connection")


@case("unsubscribe, on its connection and on another")
def unsubscribe(w):
    for first in (True, False):
        w.subscription("goer")
        w.emit(2)
        if first:
            c = Client(w.local, {"v": 1, "unsubscribe": "goer"})
        else:
            c = w.subscribe("goer")
            c.take(2)
            c.say({"unsubscribe": "goer"})
        same(c.end(), [{"unsubscribed": "goer"}])
        c.close()
        check(not os.path.exists(w.box.at("journal", "cursors", "local@goer")), "still there")
    with w.subscribe("goer") as c:
        check(c.quiet(), "a new one of the name starts anew")


@case("from: oldest, newest, an id; for one that is there only an id moves it")
def start(w):
    w.emit(3)
    with w.subscribe("start", **{"from": "oldest"}) as c:
        got = [c.json()]
        while got[-1]["event"]["vnd.example.n"] < w.n:
            got.append(c.json())
        numbers = [e["vnd.example.n"] for e in events(got)]
        same(numbers, list(range(1, w.n + 1)), "everything from the first event on")
        c.ack(got[-1])
    with w.subscribe("start", **{"from": got[-3]["id"]}) as c:
        same(c.take(3), got[-3:], "moved back")
        c.ack(got[-2])
    with w.subscribe("start", **{"from": "newest"}) as c:
        same(c.take(1), got[-1:], "newest means nothing to one that is there")
    with w.subscribe("other", **{"from": got[-2]["id"]}) as c:
        same(c.take(2), got[-2:], "a new one from an id")
    beyond = got[-1]["id"][:-16] + "00ffffffffffffff"
    with w.subscribe("other", **{"from": beyond}) as c:
        check(c.quiet(), "past the end there is nothing")
        want = w.emit(1)
        same(events(c.take(1)), want, "and then what is new")


@case("an id of another journal gives a gap and the oldest event")
def foreign(w):
    with w.subscribe("foreign", **{"from": FOREIGN}) as c:
        gap, first = c.take(2)
        same(gap, {"gap": {"from": FOREIGN, "to": first["id"]}})
        same(first["event"]["vnd.example.n"], 1)


@case("filters: events, groups, users; what they leave out moves the cursor on")
def filters(w):
    wanted = {
        "fevents": ({"events": ["FlagsSet"]}, lambda e: e["event"] == "FlagsSet"),
        "fgroups": ({"groups": ["flags", "subscription"]},
                    lambda e: e["event"] in ("FlagsSet", "MailboxSubscribe")),
        "fusers": ({"users": ["jane", "*@b.example.org"]},
                   lambda e: e["user"] in ("jane", "joe@b.example.org")),
        "fboth": ({"users": ["jane"], "events": ["FlagsSet"]},
                  lambda e: e["user"] == "jane" and e["event"] == "FlagsSet"),
    }
    for name, (request, _) in wanted.items():
        w.subscription(name, **request)
    made = []
    for event in ("MessageNew", "FlagsSet", "MailboxSubscribe"):
        for user in ("jane", "joe@b.example.org", "joe@c.example.org"):
            made += w.make(1, event=event, user=user)
    w.send(made)
    for name, (request, fits) in wanted.items():
        want = [e for e in made if fits(e)]
        with w.subscribe(name, **request) as c:
            same(events(c.take(len(want))), want, name)
            check(c.quiet(), name + ": more came")
    # the sink's own filter, for live and durable
    with w.live(w.few) as c, w.subscribe("few", w.few, groups=["flags", "subscription"]) as d:
        time.sleep(0.3)
        w.send(made)
        same(c.take(6), [e for e in made if e["event"] != "FlagsSet"])
        same(events(d.take(3)), [e for e in made if e["event"] == "MailboxSubscribe"])
    # a subscription that nothing matches does not stay behind
    with w.subscribe("nothing", events=["CalendarAlarm"]) as c:
        wait_for("the cursor", lambda: os.path.exists(
            w.box.at("journal", "cursors", "local@nothing")))
        before = w.cursor("nothing")
        w.emit(100)
        # without an ack
        wait_for("the cursor moves", lambda: w.cursor("nothing") != before)
    with w.subscribe("nothing") as c:  # now without the filter
        check(c.quiet(), "events that were left out come back")


@case("a reader that stops reading is cut off and comes back where it was")
def stalled(w):
    w.subscription("stall", w.short)
    want = w.emit(300, pad=8000)
    with w.subscribe("stall", w.short) as c:
        got = c.take(10)
        c.ack(got[4])
        wait_for("the log tells of it", lambda: "client stall has not read" in w.notifyd.log())
        lines = c.end() if not c.ended else []
        check(len(lines) < 290, "everything fitted the socket")
    with w.subscribe("stall", w.short) as c:
        same(events(c.take(295)), want[5:])
        c.say({"unsubscribe": "stall"})
        same(c.json(), {"unsubscribed": "stall"})
    with Client(w.short) as c:
        check("none came" in c.end()[0]["error"], "a client that never speaks")


@case("more clients than the option allows are told so")
def crowd(w):
    clients = [w.live(w.few) for _ in range(3)]
    with Client(w.few, b"") as c:
        check("too many" in c.end()[0]["error"], "no word")
    clients.pop().close()

    def another():
        c = Client(w.few, b"")
        if c.quiet(0.3):  # no error line: the server has seen the other one go
            return c
        return c.close()

    clients.append(wait_for("room for another", another))
    want = w.emit(1)
    for c in clients:
        got = c.json()
        while got["vnd.example.n"] < w.n:  # those that told the others that they are served
            got = c.json()
        same(got, want[0])
        c.close()


@case("200 clients at once, live and durable, all get all in order", 300)
def many(w):
    for i in range(100):
        w.subscription("many%d" % i)
    clients = [(Client(w.local, b""), False) for _ in range(100)]
    time.sleep(0.5)
    want = w.emit(2000)
    clients += [(w.subscribe("many%d" % i), True) for i in range(100)]
    for c, named in clients:
        got = c.take(2000)
        same(events(got) if named else got, want)
        if named:
            c.ack(got[-1])
    last = w.emit(1)
    for c, named in clients:
        same(events(c.take(1)) if named else c.take(1), last)
    for c, _ in clients:
        c.close()


@case("a crowd of which some read slowly, some come late and some want little: to each its own",
      300)
def crowded(w):
    wanted = {"all": {}, "flags": {"events": ["FlagsSet"]}, "joe": {"users": ["joe"]},
              "both": {"events": ["FlagsSet"], "users": ["joe"]}}
    names = ["crowd-%s%d" % (kind, i) for kind in wanted for i in range(8)]
    kind_of = lambda name: name[6:-1]
    for name in names:
        w.subscription(name, **wanted[kind_of(name)])
    first = {name: w.subscribe(name, **wanted[kind_of(name)]) for name in names[::2]}
    lives = [w.live() for _ in range(3)]  # their own events to find out are for "all" too
    for c in lives[:2]:
        while not c.quiet(0.1):
            c.line()
    made = []
    for i in range(30):  # 12 MB: more than a socket takes, and than is kept in memory
        part = []
        for event in ("MessageNew", "FlagsSet"):
            for user in ("jane", "joe"):
                part += w.make(25, event=event, user=user, pad=4000)
        made += w.send(part)
        for c in lives[:2]:  # the third one reads nothing for now
            same(c.take(len(part)), part, "live")
        if i == 15:
            first.update({name: w.subscribe(name, **wanted[kind_of(name)])
                          for name in names[1::4]})
    first.update({name: w.subscribe(name, **wanted[kind_of(name)])
                  for name in names if name not in first})
    fits = {"all": lambda e: True, "flags": lambda e: e["event"] == "FlagsSet",
            "joe": lambda e: e["user"] == "joe",
            "both": lambda e: e["event"] == "FlagsSet" and e["user"] == "joe"}
    for name in names:
        want = [e for e in made if fits[kind_of(name)](e)]
        c = first[name]
        got = [c.json()]
        while len(got) < len(want):  # what came before: to find out whether a live one is served
            if got[0]["event"]["vnd.example.n"] < made[0]["vnd.example.n"]:
                got.pop()
            got.append(c.json())
        same(events(got), want, name)
        same([g["id"] for g in got], sorted({g["id"] for g in got}), "ids")
        c.ack(got[-1])
    same(lives[2].take(len(made)), made, "the live one that was slow")
    last = w.emit(1, event="FlagsSet", user="joe")
    for name in names:
        same(events(first[name].take(1)), last, name)
        first[name].close()
    for c in lives:
        same(c.take(1), last, "live")
        c.close()


@case("damage in the journal: what is behind it comes to all, and the log tells of it once")
def damage(w):
    names = ["damage%d" % i for i in range(20)]
    for name in names:
        w.subscription(name, **({"events": ["MessageNew"]} if name.endswith("7") else {}))
    made = w.emit(100)
    w.notifyd.stop()  # what is in its memory is no matter
    segment = sorted(glob.glob(w.box.at("journal", "*.seg")))[-1]
    with open(segment, "r+b") as f:
        at = f.read().index(b'"vnd.example.n":%d}' % made[49]["vnd.example.n"])
        f.seek(at)
        f.write(b"#")
    w.notifyd.start()
    before = w.notifyd.log().count("are damaged and were passed over")
    clients = [w.subscribe(name) for name in names]
    for c in clients:
        same(events(c.take(99)), made[:49] + made[50:])
        check(c.quiet(0.05), "more came")
        c.close()
    same(w.notifyd.log().count("are damaged and were passed over") - before, 1, "log lines")


@case("notifyd restarted and killed in between: subscriptions go on")
def restart(w):
    w.subscription("lasting")
    want = w.emit(100)
    c = w.subscribe("lasting")
    got = c.take(40)
    c.ack(got[-1])
    time.sleep(0.2)
    same(w.notifyd.stop(), 0, "exit status")
    check(not os.path.exists(w.local), "the socket is still there")
    c.end()
    c.close()
    want += w.emit(100)
    w.notifyd.start()
    with w.subscribe("lasting") as c:
        got = c.take(160)
        same(events(got), want[40:])
        before = w.cursor("lasting")
        c.ack(got[99])
        wait_for("the cursor moves", lambda: w.cursor("lasting") != before)
        for pid in w.notifyd.children():
            os.kill(pid, signal.SIGSTOP)  # none of them may tidy up
        stopped = w.notifyd.children()
        w.notifyd.kill()
        for pid in stopped:
            os.kill(pid, signal.SIGKILL)
        check(os.path.exists(w.local), "no stale socket to replace")
    w.notifyd.start()
    with w.subscribe("lasting") as c:
        same(events(c.take(60)), want[140:])


@case("a socket that somebody serves, and a file that is none, are left alone")
def taken(w):
    w.notifyd.stop()
    for make, says in ((True, "listens there"), (False, "no socket")):
        if make:
            other = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            other.bind(w.local)
            other.listen(5)
            os.chmod(w.local, 0o777)
        else:
            with open(w.local, "w", encoding="ascii") as f:
                f.write("mine")
        inode = os.lstat(w.local).st_ino
        before = w.notifyd.log().count(says)
        w.notifyd.process = w.notifyd.launch()
        wait_for("the log says why", lambda b=before, s=says: w.notifyd.log().count(s) > b)
        same(os.lstat(w.local).st_ino, inode, "inode")
        w.notifyd.stop()
        same(os.lstat(w.local).st_ino, inode, "inode")
        os.unlink(w.local)
        if make:
            other.close()
    w.notifyd.start()
    # one that was put in its place is not removed when notifyd ends
    os.unlink(w.local)
    with open(w.local, "w", encoding="ascii") as f:
        f.write("mine")
    w.notifyd.stop()
    check(os.path.isfile(w.local), "a stranger's file was removed")
    os.unlink(w.local)
    w.notifyd.start()


@case("segments gone before they were read give a gap line")
def gap(w):
    w.subscription("gap")
    w.emit(600, pad=8000)  # several segments
    with w.subscribe("gap") as c:
        got = c.take(600)
        c.ack(got[1])
    w.notifyd.stop()
    segments = sorted(glob.glob(w.box.at("journal", "*.seg")))
    check(len(segments) > 3, "too few segments: %s" % segments)
    for path in segments[:-1]:
        os.unlink(path)
    base = int(os.path.basename(segments[-1])[:16], 16)
    left = [g for g in got if int(g["id"][-16:], 16) > base]
    check(0 < len(left) < 598, "left: %d" % len(left))
    w.notifyd.start()
    with w.subscribe("gap") as c:
        line = c.json()
        same(line["gap"]["from"], got[2]["id"], "from")
        same(line["gap"]["to"], left[0]["id"], "to")
        same(c.take(len(left)), left)
        c.ack(left[-1])
    with w.subscribe("gap", **{"from": got[5]["id"]}) as c:
        same(c.json(), {"gap": {"from": got[5]["id"], "to": left[0]["id"]}}, "an id that is gone")
        same(c.take(len(left)), left)
    with w.subscribe("gap2", **{"from": "oldest"}) as c:
        same(c.take(1), left[:1], "oldest is no gap")


@case("no descriptors left: no spinning, and served again when there are")
def descriptors(w):
    w.notifyd.stop()
    w.notifyd.process = w.box.start(
        "notifyd", ["prlimit", "--nofile=64:64", w.notifyd.notifyd, "-C", w.imapd_conf],
        user=w.box.user)
    held = []
    try:
        wait_for("the socket", lambda: os.path.exists(w.local))
        for _ in range(80):
            held.append(Client(w.local))
        wait_for("the log tells of it", lambda: "can't accept" in w.notifyd.log())
        before = w.cpu()
        time.sleep(2.5)
        spent = w.cpu() - before
        check(spent < 1, "%.2f s of the processor in 2.5 seconds" % spent)
    finally:
        for c in held:
            c.close()
    with w.live() as c:
        want = w.emit(1)
        same(c.take(1), want)
    same(w.notifyd.log().count("can't accept"), 1, "log lines")
    w.notifyd.stop()
    w.notifyd.start()


@case("a subscription that nobody opens expires; an open one does not")
def expire(w):
    path = w.box.at("journal", "cursors", "short@old")
    w.subscription("old", w.short)
    w.subscription("old")  # of another sink, which keeps it for days
    time.sleep(1.5)
    w.notifyd.stop()
    w.notifyd.start()
    wait_for("it is removed", lambda: not os.path.exists(path))
    check("subscription old expired" in w.notifyd.log(), "not logged")
    check(os.path.exists(w.box.at("journal", "cursors", "local@old")), "the other is gone too")


@case("status tells of clients and subscriptions")
def status(w):
    with w.live() as c:
        def told():
            with open(w.box.at("journal", "status", "local"), encoding="ascii") as f:
                s = json.load(f)
            return ("listening on %s, 1 client" % w.local in s["state"]
                    and "subscription" in s["state"] and s["delivered"] > 0)
        wait_for("status", told)
        c.close()


if __name__ == "__main__":
    case.run(World)
