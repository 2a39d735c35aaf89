#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""make bench: ratios, each of two things measured side by side in one run, and their goals.

BENCH=quick takes fewer calls and runs. Results of the last accepted run: RESULTS beside this."""

import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))

import cyrus
import notifyd
import pushes as apns_client
import tap
from harness import World
from processes import Failed, children, pss, wait_for

QUICK = os.environ.get("BENCH") == "quick"
CALLS = 50000 if QUICK else 200000
RUNS = 3 if QUICK else 5
PACED_CALLS = 2500 if QUICK else 5000
SLOW_CALLS = 100000 if QUICK else 500000
SMALL = 100000
READ = 200000 if QUICK else 1000000
BIG = 1000000 if QUICK else 5000000
BACKLOG = 100000 if QUICK else 300000
QUEUES = ("classic", "quorum", "stream")
WINDOW = 4096  # the amqp sink's largest
APPENDS = 100 if QUICK else 300

# The hook leaves the first out (mboxevent_modseq); the other goes to no sink that does not ask.
NOT_KEPT = ('"event":"MailboxModseq"', '"event":"ApplePushService')

ROOM = {"mboxevent_max_size": "64G", "mboxevent_min_free": "0"}
KEEP = {"mboxevent_retain": "1d"}


def numbers(line):
    return [float(word) for word in line.split()]


def median(values):
    return statistics.median(values)


class Stage(World):
    """A World whose programs of the bench are run as the mail user."""

    def __init__(self, name, conf=None, **more):
        super().__init__("bench-" + name, preload=more.pop("preload", False),
                         conf={**ROOM, **(conf or {})}, **more)
        box = self.box
        self.hook = shutil.copy(notifyd.hook(self.build), box.at("hook.so"))
        for program in ("caller", "consumer", "publisher", "turns"):
            try:
                shutil.copy(notifyd.program(self.build, "tests", "bench", program),
                            box.at(program))
            except Failed:
                if program in ("caller", "consumer"):  # the others: built --without-amqp
                    raise
        self.events = box.at("events")
        with open(os.path.join(tap.top("TOP_SRCDIR"), "tests", "data",
                               "cyrus-3.6.1-native.jsonl"), encoding="utf-8") as f, \
                open(self.events, "w", encoding="utf-8") as out:
            out.writelines(line for line in f if not any(n in line for n in NOT_KEPT))
        # notifyd has the socket of the other configuration.
        self.socket = box.at("run", "bench-notify")
        self.caller_conf = box.at("caller.conf")
        self.names = 0
        self.write_conf()

    def write_conf(self):
        with open(self.caller_conf, "w", encoding="utf-8") as f:
            for key, value in self.cyrus.conf.items():
                f.write("%s: %s\n" % (key, self.socket if key == "notifysocket" else value))

    def empty(self):
        """A journal anew."""
        shutil.rmtree(self.cyrus.journal)
        self.box.folder("journal", mode=0o700)

    def caller(self, mode, calls, *more):
        """The figures of each run."""
        r = self.box.run([self.box.at("caller"), mode, self.caller_conf, self.hook, self.events,
                          str(calls)] + [str(m) for m in more], user=self.box.user, timeout=120,
                         env={"NOTIFYSOCKET": self.socket})
        return [numbers(line) for line in r.stdout.splitlines()]

    def consumer(self, *args):
        r = self.box.run([self.box.at("consumer")] + [str(a) for a in args], user=self.box.user,
                         timeout=60)
        return numbers(r.stdout)

    def subscribe_new(self, lines, *more):
        self.names += 1
        return self.consumer("subscribe", self.local, "bench-%d" % self.names, lines, *more)

    def segments(self):
        return sorted(os.path.join(self.cyrus.journal, n) for n in os.listdir(self.cyrus.journal)
                      if n.endswith(".seg"))


class Row:
    """One line of the table. ratio(ours, theirs) against a goal."""

    all = []

    def __init__(self, title, against, goal, ours, theirs, ratio, limit, most):
        self.texts = [title, against, ours, theirs]
        self.ratio, self.goal = ratio, goal
        self.met = ratio <= limit if most else ratio >= limit
        Row.all.append(self)
        print("%s: %s against %s (%s): %.2f, goal %s%s"
              % (title, ours, theirs, against, ratio, goal, "" if self.met else "  MISSED"),
              flush=True)


def at_most(title, against, limit, ours, theirs, unit):
    Row(title, against, "<= %s x" % limit, unit % ours, unit % theirs, ours / theirs, limit, True)


def at_least(title, against, limit, ours, theirs, unit):
    Row(title, against, ">= %s x" % limit, unit % ours, unit % theirs, ours / theirs, limit, False)


def calls():
    stage = Stage("calls")
    try:
        runs = stage.caller("mean", CALLS, RUNS)
        at_most("hook, back to back", "stock notify() to a listener in C", 0.6,
                median(r[1] for r in runs), median(r[0] for r in runs), "%.0f ns")
        stage.empty()
        runs = stage.caller("writers", CALLS // 8, RUNS)
        at_least("hook, 8 writers", "8 processes calling stock notify()", 2,
                 1e9 / median(r[1] for r in runs), 1e9 / median(r[0] for r in runs),
                 "%.0f events/s")
        stage.empty()
        stage.cyrus.configure({"mboxevent_format": "native"})
        stage.write_conf()
        runs = stage.caller("bare", CALLS, RUNS, stage.cyrus.journal)
        at_most("hook without conversion", "write() of the same bytes, O_APPEND", 3.5,
                median(r[0] for r in runs), median(r[1] for r in runs), "%.0f ns")
    finally:
        stage.close()


def sinks(*more):
    """Lines of a notifyd with a unix sink and others: (name, type, {option: value})."""
    conf = {"notifyd_sinks": " ".join(["local"] + [name for name, _, _ in more])}
    for name, kind, options in more:
        conf["notifyd_%s_type" % name] = kind
        for option, value in options.items():
            conf["notifyd_%s_%s" % (name, option)] = value
    return conf


def paced():
    stage = Stage("paced")
    try:
        at = stage.box.at
        stage.cyrus.configure(sinks(("one", "log", {"path": at("run", "one.log")}),
                                    ("two", "log", {"path": at("run", "two.log")}),
                                    ("three", "null", {}), ("four", "null", {})))
        stage.write_conf()
        stage.notifyd.start()
        live = stage.subscribe()
        live.close()
        runs = stage.caller("paced", PACED_CALLS, RUNS)
        at_most("hook, an event every 200 us, 5 sinks at the head", "stock notify() paced alike",
                0.5, median(r[1] for r in runs), median(r[0] for r in runs), "%.0f ns")
    finally:
        stage.close()


def slow():
    """Calls over 1 ms: each state has a journal and a notifyd of its own, in turn."""
    stage = Stage("slow")
    over = {"draining": [], "stopped": [], "blocked": []}
    longest = dict.fromkeys(over, 0)
    try:
        log = ("audit", "log", {"path": stage.box.at("run", "audit.log")})
        blocked = ("stuck", "fail", {"mode": "stall"})
        for _ in range(RUNS):
            for state in over:
                stage.empty()
                more = [log, ("none", "null", {})] + ([blocked] if state == "blocked" else [])
                stage.cyrus.configure(sinks(*more))
                if state != "stopped":
                    stage.notifyd.start()
                _, n, most = stage.caller("slow", SLOW_CALLS)[0]
                over[state].append(n)
                longest[state] = max(longest[state], most)
                stage.notifyd.stop()
    finally:
        stage.close()
    million = 1e6 / SLOW_CALLS / RUNS
    normal = sum(over["draining"]) * million
    for state, title in (("stopped", "notifyd stopped"), ("blocked", "a sink blocked")):
        n = sum(over[state]) * million
        Row("calls over 1 ms a million, %s" % title, "notifyd draining", "no more",
            "%.1f (longest %.1f ms)" % (n, longest[state] / 1000),
            "%.1f (longest %.1f ms)" % (normal, longest["draining"] / 1000),
            n / normal if normal else float(n > 0) and float("inf"), 1, True)


def pss_below(pid):
    """Of a process and all below it."""
    return sum(pss(p) for p in [pid] + children(pid))


def rabbit_of(stage):
    """A private broker, or None where there is none."""
    try:
        from rabbit import BIN, Rabbit
    except ImportError:
        return None
    if not os.path.exists(BIN + "/rabbitmq-server"):
        return None
    rabbit = Rabbit(stage.box, "bench")
    rabbit.start()
    return rabbit


def memory(stage):
    """PSS while log, unix and amqp read the backlog from its beginning."""
    rabbit = None if QUICK else rabbit_of(stage)
    stage.cyrus.configure(sinks(
        ("audit", "log", {"path": stage.box.at("run", "big.log"), "from": "oldest"}),
        ("mq", "amqp", {"url": rabbit.url() if rabbit else "amqp://127.0.0.1:1/",
                        "queue": "bench", "from": "oldest"})))
    stage.notifyd.start()
    pid, most = stage.notifyd.process.pid, 0
    reader = stage.box.start("subscriber", [stage.box.at("consumer"), "subscribe", stage.local,
                                            "memory", str(BIG)], user=stage.box.user)
    end = time.monotonic() + (5 if QUICK else 10)
    while time.monotonic() < end:
        most = max(most, pss_below(pid))
        time.sleep(0.05)
    stage.box.stop(reader)
    stage.notifyd.stop()
    Row("PSS of notifyd: supervisor, ingest, log, unix, amqp (%s)"
        % ("delivering" if rabbit else "connecting"), "%d events behind" % BIG, "<= 24 MB",
        "%.1f MB" % most, "24 MB", most / 24, 1, True)
    if rabbit:
        rabbit.stop()


class Broker:
    """A stage with a private RabbitMQ, a backlog, and the bare publisher with the same bodies."""

    def __init__(self, name, backlog):
        self.stage = Stage(name, KEEP)
        self.rabbit = rabbit_of(self.stage)
        if not self.rabbit or not os.path.exists(self.stage.box.at("publisher")):
            self.stage.close()
            raise Failed("there is no RabbitMQ, or this is built without amqp")
        self.stage.notifyd.start()  # makes the journal
        self.stage.notifyd.stop()
        self.bodies = self.stage.box.at("bodies")
        self.stage.caller("fill", 1)  # each of the events, and one more
        text = self.stage.notifyd.ctl("tail", "--since", "1h").stdout.splitlines(True)
        with open(self.bodies, "w", encoding="utf-8") as f:
            f.writelines(text[:-1])
        self.stage.caller("fill", backlog)
        self.events = 2 * len(text) - 1 + backlog

    def publisher(self, exchange, queue, kind, count, how, bodies=None):
        return [self.stage.box.at("publisher"), str(self.rabbit.port), exchange, queue, kind,
                bodies or self.bodies, str(count), str(how)]

    def sink(self, name, queue, kind, properties="all"):
        """A notifyd whose only other sink publishes the backlog to the queue."""
        self.stage.cyrus.configure(sinks((name, "amqp", {
            "url": self.rabbit.url(), "exchange": "of." + queue, "queue": queue,
            "queue_type": kind, "from": "oldest", "properties": properties})))
        self.stage.notifyd.start()

    def delete(self, queue):
        connection = self.rabbit.connect()
        connection.channel().queue_delete(queue)
        connection.close()

    def close(self):
        self.stage.close()


def drain():
    """A backlog into each type of queue, ours and the bare publisher's in turns (turns.c), of
    messages with all properties and headers and of those with the message-id alone."""
    b = Broker("drain", BACKLOG)
    counter = b.stage.box.at("confirmed")
    ways = [(kind, what) for kind in QUEUES for what in ("id", "all")]
    pairs = {way: [] for way in ways}
    try:
        for n, (kind, what) in enumerate(ways * RUNS):
            ours, theirs = "mq%d" % n, "bare"
            b.sink(ours, ours, kind, what)
            worker = wait_for("the worker", lambda name=ours: b.stage.notifyd.worker(name))
            with open(counter, "wb") as f:
                f.write(bytes(8))
            publisher = b.stage.box.start("publisher", b.publisher(
                "of." + theirs, theirs, kind, b.events, WINDOW) + [counter, what])
            pairs[kind, what] += map(numbers, b.stage.box.run(
                [b.stage.box.at("turns"), b.stage.cyrus.journal, ours, str(worker), counter,
                 str(publisher.pid), str(b.events)], timeout=300).stdout.splitlines())
            if publisher.wait(60):
                raise Failed("the bare publisher ended with status %d" % publisher.returncode)
            b.stage.notifyd.stop()
            b.delete(ours)
            b.delete(theirs)
            time.sleep(1)  # the broker still clears up
    finally:
        b.close()
    for kind, what in ways:
        if len(pairs[kind, what]) < 2:
            raise Failed("too few events for turns of a second")
        ours, theirs = zip(*pairs[kind, what])
        # By leaving one pair out after the other: a broker that syncs may confirm nothing in a turn.
        error = (len(ours) - 1) ** 0.5 * statistics.pstdev(
            (sum(ours) - o) / (sum(theirs) - t) for o, t in pairs[kind, what])
        Row("amqp sink, %d events into a %s queue, properties %s" % (b.events, kind, what),
            "bare pipelined librabbitmq, the same bodies, keys and properties, window %d"
            % WINDOW, ">= 0.95 x", "%.0f events/s" % statistics.mean(ours),
            "%.0f events/s (%d turns each; standard error of the ratio %.2f)"
            % (statistics.mean(theirs), len(ours), error), sum(ours) / sum(theirs), 0.95, False)


def latency():
    """From the call of notify() to a consumer, and from a direct publish to the same one."""
    b = Broker("latency", 1000)
    count = 500 if QUICK else 2000
    try:
        b.sink("mq", "single", "quorum")
        b.stage.consumer("drain", b.stage.cyrus.journal, "mq", b.events)
        b.delete("single")
        b.stage.notifyd.stop()
        b.stage.notifyd.start()
        b.rabbit.queue("single")
        times = {"hook": [], "direct": []}
        for i in range(2 if QUICK else 6):
            how = ("hook", "direct")[i % 2]
            reader = subprocess.Popen(b.publisher("of.single", "single", "quorum", count,
                                                  "arrivals", "-"), text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            if reader.stderr.readline() != "ready\n":
                raise Failed("the consumer did not start")
            if how == "hook":
                begun = [r[0] for r in b.stage.caller("stamps", count)]
            else:
                begun = [numbers(line)[0] for line in b.stage.box.run(b.publisher(
                    "of.single", "single", "quorum", count, "stamps")).stdout.splitlines()]
            ended = [float(line) for line in reader.communicate(timeout=60)[0].splitlines()]
            if len(begun) != len(ended) or len(begun) != count:
                raise Failed("%d were sent and %d came" % (len(begun), len(ended)))
            times[how] += [(e - s) / 1e6 for s, e in zip(begun, ended)]
        for name, q in (("median", 50), ("p99", 99)):
            ours, theirs = (statistics.quantiles(times[how], n=100)[q - 1]
                            for how in ("hook", "direct"))
            Row("one event from the hook to an AMQP consumer, %s" % name,
                "a direct publish, confirmed", "none", "%.2f ms" % ours, "%.2f ms" % theirs,
                ours / theirs, float("inf"), True)
    finally:
        b.close()


def away():
    """A backlog made while the broker is down, then drained: memory of the worker and of all."""
    stage = Stage("away")
    rabbit = rabbit_of(stage)
    if not rabbit:
        stage.close()
        raise Failed("there is no RabbitMQ")
    try:
        connection = rabbit.connect()  # nobody consumes: what it keeps must be bounded
        channel = connection.channel()
        channel.exchange_declare("mail.events", "topic", durable=True)
        channel.queue_declare("last", durable=True, arguments={"x-max-length": 1000})
        channel.queue_bind("last", "mail.events", "#")
        connection.close()
        rabbit.halt()
        stage.cyrus.configure(sinks(("mq", "amqp", {"url": rabbit.url(), "from": "oldest"})))
        stage.notifyd.start()
        before = pss_below(stage.notifyd.process.pid)
        stage.caller("fill", BIG)
        down = pss_below(stage.notifyd.process.pid)
        rabbit.start()
        begin = time.monotonic()
        drained = stage.box.start("drained", [stage.box.at("consumer"), "drain",
                                              stage.cyrus.journal, "mq", str(BIG)],
                                  user=stage.box.user)
        samples = []
        while drained.poll() is None:
            worker = max((pss(p) for p in stage.notifyd.children()), default=0)
            samples.append((time.monotonic() - begin, worker,
                            pss_below(stage.notifyd.process.pid)))
            if len(samples) % 40 == 1:
                print("# %4.0f s: PSS of the largest worker %.1f MB, of all %.1f MB" % samples[-1],
                      flush=True)
            time.sleep(0.25)
        print("# PSS of all: %.1f MB at the beginning, %.1f MB with the broker away, drained in "
              "%.0f s" % (before, down, samples[-1][0]), flush=True)
        middle = [s[2] for s in samples[len(samples) // 10:]]
        Row("PSS of notifyd while it drains", "%d events made with the broker away" % BIG,
            "<= 24 MB", "%.1f MB (least %.1f)" % (max(middle), min(middle)), "24 MB",
            max(middle) / 24, 1, True)
    finally:
        stage.close()


def reading():
    # Read again and again: what has been delivered must stay.
    small, big = Stage("small", KEEP), Stage("big", KEEP)
    try:
        small.caller("fill", SMALL)
        big.caller("fill", READ)
        rates = {"reader": [], "cat": []}
        for _ in range(3 * RUNS):
            theirs = big.consumer("cat", *big.segments())
            ours = big.consumer("read", big.cyrus.journal)
            rates["reader"].append(theirs[1] / ours[2] / 1e6)
            rates["cat"].append(theirs[1] / theirs[2] / 1e6)
        at_least("reader to /dev/null, %d events, all checked" % READ,
                 "cat of the segments to /dev/null", 0.5, median(rates["reader"]),
                 median(rates["cat"]), "%.0f MB/s")

        small.notifyd.start()
        big.notifyd.start()
        dump = big.box.at("run", "dump")
        big.subscribe_new(READ, dump)
        rates = {"sink": [], "cat": []}
        for _ in range(3 * RUNS):
            ours, theirs = big.subscribe_new(READ), big.consumer("pipe", dump, READ)
            rates["sink"].append(ours[1] / ours[2] / 1e6)
            rates["cat"].append(theirs[1] / theirs[2] / 1e6)
        at_least("unix sink to a subscriber that counts lines", "cat through a socket to the same",
                 0.5, median(rates["sink"]), median(rates["cat"]), "%.0f MB/s")
        os.unlink(dump)

        big.caller("fill", BIG - READ)
        big.subscribe_new(BIG)
        rates = {"small": [], "big": []}
        for _ in range(3):
            for _ in range(2):
                ours = small.subscribe_new(SMALL)
                rates["small"].append(ours[0] / ours[2])
            ours = big.subscribe_new(BIG)
            rates["big"].append(ours[0] / ours[2])
        at_least("drain rate, %d events behind" % BIG, "%d behind" % SMALL, 0.95,
                 median(rates["big"]), median(rates["small"]), "%.0f events/s")
        small.notifyd.stop()
        big.notifyd.stop()
        memory(big)
    finally:
        small.close()
        big.close()


class Appender:
    """An IMAP client that does nothing but APPEND, and is quick about it."""

    def __init__(self, server):
        self.socket = socket.create_connection(("127.0.0.1", server.imap_port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        self.file.readline()
        self.command("LOGIN john@example.org %s" % cyrus.PASSWORD)
        self.n = 0

    def command(self, text):
        self.socket.sendall(b"a " + text.encode() + b"\r\n")
        self.answer()

    def answer(self):
        for line in self.file:
            if line.startswith(b"a "):
                if not line.startswith(b"a OK"):
                    raise Failed("IMAP: %r" % line)
                return
        raise Failed("IMAP: the connection is closed")

    def rate(self, n):
        begin = time.monotonic()
        for _ in range(n):
            self.n += 1  # Cyrus refuses many identical ones
            text = cyrus.message("Bench %08d" % self.n)
            self.socket.sendall(b"a APPEND INBOX {%d+}\r\n%s\r\n" % (len(text), text))
            self.answer()
        return n / (time.monotonic() - begin)


def imap():
    hooked = Stage("hooked", preload=True)
    bare = Stage("bare")
    try:
        bare.cyrus.hook = shutil.copy(os.path.join(bare.build, ".libs", "libempty.so"),
                                      bare.box.at("empty.so"))
        clients = [(s, Appender(s.start(notifyd=False).cyrus)) for s in (hooked, bare)]
        rates = {hooked: [], bare: []}
        for stage, client in clients:
            client.rate(APPENDS)
        for i in range(4 * RUNS):
            for stage, client in clients if i % 2 else reversed(clients):
                rates[stage].append(client.rate(APPENDS))
        if not hooked.segments() or bare.segments():
            raise Failed("the hook of the one Cyrus wrote nothing, or that of the other did")
        at_least("IMAP APPEND, Cyrus with the hook", "with an empty notify()", 0.97,
                 median(rates[hooked]), median(rates[bare]), "%.0f/s")
    finally:
        hooked.close()
        bare.close()


def pushes():
    apns_client.measure(Row, RUNS, 100000)


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return "%d x %s, %.0f GB, %s %s" % (os.cpu_count(), model, memory_gb, platform.system(),
                                        platform.release())


def table():
    head = ["measured", "against", "ours", "theirs", "ratio", "goal", ""]
    rows = [head] + [[r.texts[0], r.texts[1], r.texts[2], r.texts[3], "%.2f" % r.ratio, r.goal,
                      "" if r.met else "MISSED"] for r in Row.all]
    widths = [max(len(r[i]) for r in rows) for i in range(len(head))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(r, widths)).rstrip() for r in rows)


def main():
    parts = {f.__name__: f for f in (calls, paced, slow, reading, drain, latency, away, imap,
                                    pushes)}
    wanted = sys.argv[1:] or list(parts)
    begin, load = time.monotonic(), os.getloadavg()[0]
    for name in wanted:
        if name not in parts:
            sys.exit("bench: parts are " + " ".join(parts))
    for name in wanted:
        try:
            parts[name]()
        except (Failed, OSError, subprocess.SubprocessError) as e:
            print("%s: NOT MEASURED: %s" % (name, e), flush=True)
    print("\n%s\n%s, %.0f s%s; medians of runs that alternate, %d of each and more, but where turns are "
          "told; load %.1f before, %.1f after\n\n%s"
          % (machine(), time.strftime("%Y-%m-%d", time.gmtime()), time.monotonic() - begin,
             " (quick)" if QUICK else "", RUNS, load, os.getloadavg()[0], table()))


if __name__ == "__main__":
    main()
