#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The programs of contrib/consumers against a real broker, with events that come twice on purpose,
consumers killed in the middle of their work, and a broker that goes away: each event counts once."""

import collections
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import tap
tap.need(rabbitmq_server="/usr/lib/rabbitmq/bin/rabbitmq-server",
         python3_pika="/usr/lib/python3/dist-packages/pika",
         cyrus_imapd="/usr/lib/cyrus/bin/imapd")

from harness import World
from processes import children, wait_for
from rabbit import Rabbit
from tap import check, same
from traffic import Traffic, collect, each, forget, says

case = tap.Cases()

EACH = each(3000)
FEW = 120  # a process is started for each
LONG = 120 + EACH // 100
SOURCE = os.path.join(tap.top("TOP_SRCDIR"), "contrib", "consumers")
SHELL = "example.net"  # whose events the shell gets
AMQP_CONSUME = "/usr/bin/amqp-consume"
SQLITE = "/usr/bin/sqlite3"


def amqplib():
    """(folder of modules for Node, None), or (None, why there is none)."""
    if not shutil.which("node"):
        return None, "node is missing (package nodejs)"
    r = subprocess.run([os.path.join(tap.top("TOP_SRCDIR"), "contrib", "amqplib")], text=True,
                       check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    if r.returncode:
        return None, "amqplib can't be had: " + (r.stderr.strip().splitlines() or ["?"])[-1]
    return r.stdout.strip(), None


class Consumer:
    """A program that is started again when it was killed."""

    def __init__(self, world, name, env=None):
        self.world, self.name, self.env = world, name, env
        self.argv = []
        self.folder = world.box.folder("consumer-" + name)
        self.process = None
        self.kills = 0

    def at(self, name):
        return os.path.join(self.folder, name)

    def start(self):
        self.process = self.world.box.start("consumer-" + self.name, self.argv, env=self.env,
                                            user=self.world.box.user)

    def kill(self):
        """With all that it started, at once."""
        below = children(self.process.pid)
        for pid in [self.process.pid] + below:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self.world.box.started.remove(self.process)
        self.kills += 1

    def stop(self):
        same(self.world.box.stop(self.process, signal.SIGTERM, 30), 0,
             "exit status of %s after SIGTERM" % self.name)
        self.process = None

    def log(self):
        with open(self.world.box.at("log", "consumer-%s.log" % self.name), encoding="utf-8") as f:
            return f.read()


def python(world):
    c = Consumer(world, "python", {"AMQP_URL": world.url})
    c.argv = [sys.executable, world.source("consume.py"), "--queue", "python", "--key", "flags.*",
              "--store", c.at("counts.sqlite")]
    return c


def javascript(world, modules):
    c = Consumer(world, "node", {"AMQP_URL": world.url, "NODE_PATH": modules})
    c.argv = ["node", world.source("consume.js"), "--queue", "node", "--key",
              "flags.MessageRead", "--out", c.at("events.jsonl")]
    return c


def shell(world):
    c = Consumer(world, "shell")
    c.argv = [world.source("consume.sh"), "-u", world.url.rstrip("/"), "-q", "shell", "-d",
              c.at("events.sqlite")]
    return c


def setup():
    world = World("amqp-consumers")
    try:
        box = world.box
        folder = shutil.copytree(SOURCE, box.at("consumers"))  # ours may be closed to others
        world.source = lambda name: os.path.join(folder, name)
        world.modules, world.no_node = amqplib()
        if world.modules:
            world.modules = shutil.copytree(world.modules, box.at("node_modules"))
        world.rabbit = Rabbit(box)
        world.rabbit.start()
        world.url = "amqp://guest:guest@127.0.0.1:%d/" % world.rabbit.port
        conf = {"notifyd_sinks": "local mq few", "mboxevent_retain": "1h"}
        for sink, queue, users in (("mq", "tap", "*@example.org"), ("few", "shell", "*@" + SHELL)):
            conf.update({"notifyd_%s_%s" % (sink, option): value for option, value in {
                "type": "amqp", "url": world.rabbit.url(), "exchange": "mail." + sink,
                "queue": queue, "users": users}.items()})
        conf["notifyd_few_body"] = "with-id"
        world.cyrus.configure(conf)
        world.notifyd.start()
        world.oracle = world.subscribe("oracle")
        for queue in ("tap", "shell"):
            world.rabbit.queue(queue)
        world.consumers = [python(world)]
        if world.modules:
            world.consumers.append(javascript(world, world.modules))
        for c in world.consumers:
            c.argv += ["--exchange", "mail.mq"]
        world.shell = shell(world) if os.path.exists(AMQP_CONSUME) and os.path.exists(SQLITE) \
            else None
        for c in world.consumers:
            c.start()
            world.rabbit.queue(c.name)
    except BaseException:
        world.close()
        raise
    return world


def counted(world):
    """What the Python program counted: {(user, event): n}."""
    db = sqlite3.connect(world.consumers[0].at("counts.sqlite"), timeout=30)
    try:
        return {(user, event): n for user, event, n in db.execute("SELECT * FROM counts")}
    finally:
        db.close()


def lines(world):
    with open(world.consumers[1].at("events.jsonl"), encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.endswith("\n")]


def rows(world):
    db = sqlite3.connect(world.shell.at("events.sqlite"), timeout=30)
    try:
        return [json.loads(body) for body, in db.execute("SELECT body FROM events ORDER BY n")]
    except sqlite3.OperationalError:  # no table yet
        return []
    finally:
        db.close()


def drained(world, *queues):
    """All messages are delivered, acknowledged and gone. What rabbitmqctl tells of a quorum queue is
    as old as its last report; what a declaration tells is not, but leaves out those under way."""
    connection = world.rabbit.connect()
    channel = connection.channel()

    def look():
        connection.process_data_events()
        left = dict(r.split() for r in world.rabbit.ctl(
            "-q", "list_queues", "name", "messages", "--no-table-headers").splitlines())
        return all(left.get(q) == "0" and
                   channel.queue_declare(q, passive=True).method.message_count == 0
                   for q in queues)
    wait_for("queues %s are empty" % (queues,), look, LONG, every=0.5)
    connection.close()


def settle(count, want):
    """Waits for so many, and then for those that should not come."""
    end = time.monotonic() + 60
    while count() < want and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(1)


def trouble(world, consumers):
    """Workers of notifyd and consumers are killed, the broker's connections cut."""
    for c in consumers:
        time.sleep(0.1)
        c.kill()
        c.start()
        for pid in world.notifyd.children():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    world.rabbit.ctl("close_all_connections", "to see whether they come again")


def again(world, sink):
    world.notifyd.ctl("replay", sink, "--since", "1h")


@case("--help of each says how it is used")
def usage(world):
    for c in world.consumers + [world.shell] * bool(world.shell):
        at = next(i for i, a in enumerate(c.argv) if "consume." in a)
        r = world.box.run(c.argv[:at + 1] + ["-h"], env=c.env)
        check("usage:" in r.stdout and not r.stderr, r.stdout + r.stderr)


@case("Python: what it committed as it was killed is synced before it is relied on")
def unsynced(world):
    sys.path.insert(0, os.path.dirname(world.source("consume.py")))
    import consume  # pylint: disable=import-outside-toplevel,import-error
    folder, copy = world.box.folder("unsynced"), world.box.folder("unsynced-copy")
    store = consume.Store(os.path.join(folder, "counts.sqlite"), 10)
    store.begin()
    store.new("seen")
    store.commit()
    for name in os.listdir(folder):  # as kill -9 leaves it
        if not name.endswith("-shm"):
            shutil.copy(os.path.join(folder, name), copy)
    store.db.close()
    path = os.path.join(copy, "counts.sqlite")
    store = consume.Store(path, 10)
    # A checkpoint syncs, and brings it into the file proper, without the log.
    db = sqlite3.connect("file:%s?immutable=1" % path, uri=True)
    same(db.execute("SELECT id FROM seen").fetchall(), [("seen",)], "without the log")
    db.close()
    store.db.close()


@case("Node: what it wrote as it was killed is synced before it is relied on")
def unsynced_node(world):
    need_node(world)
    folder = world.box.folder("unsynced-node")
    hook, out = os.path.join(folder, "hook.js"), os.path.join(folder, "events.jsonl")
    with open(hook, "w", encoding="ascii") as f:
        f.write("const fs = require('fs');\n"
                "const { fsyncSync, createReadStream } = fs;\n"
                "fs.fsyncSync = (fd) => { console.log('sync'); fsyncSync(fd); };\n"
                "fs.createReadStream = (path) => {\n"
                "  console.log('read'); process.kill(process.pid); return createReadStream(path);\n"
                "};\n")
    r = subprocess.run(["node", "-r", hook, world.source("consume.js"), "--out", out,
                        "--url", "amqp://127.0.0.1:1"], text=True, check=False, timeout=60,
                       env={**os.environ, "NODE_PATH": world.modules}, stdout=subprocess.PIPE)
    same(r.stdout.split(), ["sync", "sync", "read"], "what it did first")


@case("events that come twice, consumers and workers killed, connections cut: each counts once "
      "(%d events)" % EACH, LONG)
def once(world):
    traffic = Traffic(world, EACH)
    traffic.allow(2)
    traffic.arrived(traffic.quarters(1))
    trouble(world, world.consumers)
    traffic.allow(4)
    want = traffic.ids()
    queues = [c.name for c in world.consumers]
    got = collect(world.rabbit, "tap", want)
    again(world, "mq")
    got += collect(world.rabbit, "tap", want)
    drained(world, *queues)
    extra = collections.Counter(got)
    check(all(extra[i] >= 2 for i in want), "not all events came twice")
    print("# %d events, sent %d times; killed: %s" % (len(want), len(got), ", ".join(
        "%s %d" % (c.name, c.kills) for c in world.consumers)))
    world.want = want
    settle(lambda: sum(counted(world).values()), len(want))
    same(counted(world), {("john@example.org", "MessageRead"): len(want)}, "Python counted")


def need_node(world):
    if not world.modules:
        raise tap.Skip(world.no_node)


@case("the same for Node", LONG)
def once_node(world):
    need_node(world)
    settle(lambda: len(lines(world)), len(world.want))
    ids = [line["id"] for line in lines(world)]
    same(len(ids), len(world.want), "lines")
    same(set(ids), set(world.want), "ids")


@case("Node: a line that was cut off by a crash is mended, and what was seen is still known", LONG)
def torn(world):
    need_node(world)
    c = world.consumers[1]
    c.kill()
    with open(c.at("events.jsonl"), "ab") as f:
        f.write(b'{"id":"torn","ev')
    c.start()
    again(world, "mq")
    collect(world.rabbit, "tap", world.want)
    drained(world, "node", "python")
    settle(lambda: len(lines(world)), len(world.want))
    same([line["id"] for line in lines(world)].count("torn"), 0, "lines that are torn")
    same(len(lines(world)), len(world.want), "lines")


@case("a message that is no event ends none of them", LONG)
def foreign(world):
    connection = world.rabbit.connect()
    channel = connection.channel()
    channel.confirm_delivery()  # or one may be lost with the connection
    for body in (b"not JSON", b"[]", b'{"event":"Foreign"}'):
        channel.basic_publish("mail.mq", "flags.MessageRead", body)
    connection.close()
    drained(world, *[c.name for c in world.consumers])
    for c in world.consumers:
        check(c.process.poll() is None, c.name + " has ended")
        settle(lambda c=c: c.log().count("no mail event"), 3)
        same(c.log().count("no mail event"), 3, "messages that %s dropped" % c.name)


@case("the shell's: %d events, twice, amqp-consume killed" % FEW, LONG)
def by_shell(world):
    if not world.shell:
        raise tap.Skip("amqp-consume or sqlite3 is missing (packages amqp-tools, sqlite3)")
    forget(world)
    world.shell.start()
    traffic = Traffic(world, FEW, SHELL)
    traffic.allow(4)
    want = traffic.ids()
    wait_for("some are done", lambda: os.path.exists(world.shell.at("events.sqlite"))
             and len(rows(world)) >= FEW // 4, 60, every=0.2)
    world.shell.kill()
    world.shell.start()
    drained(world, "shell")
    again(world, "few")
    says(world, "few", "connected")
    wait_for("all are sent again", lambda: sent(world, "few") >= 2 * FEW, 60)
    drained(world, "shell")
    settle(lambda: len(rows(world)), len(want))
    got = rows(world)
    same(len(got), len(want), "rows")
    same(sorted((e["vnd.example.writer"], e["vnd.example.n"]) for e in got),
         sorted((w, n) for w in ("w0", "w1") for n in range(FEW // 2)), "events")


@case("the shell's: two events with the same text are two")
def alike(world):
    if not world.shell:
        raise tap.Skip("amqp-consume or sqlite3 is missing (packages amqp-tools, sqlite3)")
    before = len(rows(world))
    event = {"event": "FlagsSet", "user": "john@" + SHELL, "flagNames": "\\Seen"}
    world.send([event, event])
    settle(lambda: len(rows(world)) - before, 2)
    same(rows(world)[before:], [event, event], "rows")
    db = sqlite3.connect(world.shell.at("events.sqlite"), timeout=30)
    ids = [i for i, in db.execute("SELECT id FROM events ORDER BY n")]
    db.close()
    wait_for("the oracle", lambda: world.oracle.ids[-2:] == ids[-2:])


@case("the shell's: a piece of an event, of an amqp-consume that was killed, is no event")
def piece(world):
    if not world.shell:
        raise tap.Skip("amqp-consume or sqlite3 is missing (packages amqp-tools, sqlite3)")
    before = len(rows(world))
    event = '{"event":"FlagsSet","nested":{"a":"b"},"user":"piece"}'
    for text, more in (("", 0), (event[:36], 0), (event, 1)):
        # As amqp-consume calls it; it ends what called it when the work fails.
        r = world.box.run(["/bin/sh", "-c", '"$0"; exit 7', world.source("consume.sh")],
                          input=text, check=False, user=world.box.user,
                          env={"CONSUME_INTO": world.shell.at("events.sqlite"),
                               "CONSUME_KEEP": "100000"})
        same(r.returncode, 7, "status")
        same(len(rows(world)) - before, more, "rows after %r" % text)
        same("dropped" in r.stderr, not more, r.stderr)


def sent(world, sink):
    """How many the sink has delivered since the journal was made."""
    told = json.loads(world.notifyd.ctl("status", "--json", check=False).stdout)
    return next(s["delivered"] for s in told["sinks"] if s["name"] == sink)


@case("all end well on SIGTERM")
def ends(world):
    for c in world.consumers + [world.shell] * bool(world.shell):
        c.stop()


case.run(setup, 240)
