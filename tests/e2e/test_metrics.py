#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""/metrics, /healthz and /readyz of a notifyd that works: every number against what was sent."""

import json
import os
import shutil
import signal
import socket
import stat

import tap

from harness import World
from processes import Failed, wait_for
from scrape import Scraper
from tap import check, same

case = tap.Cases()

SECRET_USER = "jane.doe@example.org"


def event(n, name="MessageRead"):
    return {"event": name, "uidset": str(n + 1), "user": SECRET_USER,
            "uri": "imap://%s@imap.example.org/Very%%20Private;UIDVALIDITY=1424683682"
                   % SECRET_USER, "vnd.example.n": n}


def setup():
    world = World("metrics", preload=False)
    world.port = world.box.port()
    world.cyrus.configure({
        "mboxevent_segment_size": "64K", "mboxevent_retain": "1h",
        "notifyd_sinks": "local audit broken",
        "notifyd_audit_type": "log", "notifyd_audit_path": world.box.at("run", "audit.jsonl"),
        "notifyd_broken_type": "fail", "notifyd_broken_mode": "open",
        "notifyd_metrics": "127.0.0.1:%d" % world.port,
    })
    world.http = Scraper(("127.0.0.1", world.port))
    world.sent = 0
    world.notifyd.start()
    wait_for("metrics", world.http.up)
    for sink in ("audit", "broken"):
        wait_for("its cursor", lambda s=sink: os.path.exists(
            world.box.at("journal", "cursors", s)))
    return world


def send(world, n, name="MessageRead"):
    world.send([event(world.sent + i, name) for i in range(n)])
    world.sent += n


def written(world):
    """How many events are in the log sink's file."""
    try:
        with open(world.box.at("run", "audit.jsonl"), "rb") as f:
            return f.read().count(b"\n")
    except FileNotFoundError:
        return 0


def until(world, what, condition, timeout=60):
    """The first scrape of which condition is true."""
    last = []

    def look():
        try:
            m = world.http.metrics()
        except OSError:  # it is being replaced
            return None
        last[:] = [m]
        try:
            return m if condition(m) else None
        except Failed:  # something is not there yet
            return None
    try:
        return wait_for(what, look, timeout, every=0.1)
    except Failed as e:
        raise Failed("%s\n%s" % (e, last[0].text if last else "no scrape")) from None


def not_back(before, after):
    for key, value in before.counters().items():
        check(after.values.get(key, -1) >= value, "%r went from %r to %r"
              % (key, value, after.values.get(key)))


@case("every number is what was sent")
def numbers(world):
    a = world.http.metrics()
    same(sum(a.events().values()), 0, "events before")
    reader = world.subscribe("reader", origin="newest")
    wait_for("its cursor", lambda: os.path.exists(
        world.box.at("journal", "cursors", "local@reader")))
    for name, n in (("MessageRead", 300), ("MessageNew", 200), ("MailboxSubscribe", 40),
                    ("AclChange", 3), ("vnd.example.Unheard", 2)):
        send(world, n, name)
    wait_for("delivery", lambda: written(world) == 545 and len(reader.events) == 545)
    m = until(world, "all counters", lambda m: m.sink("delivered_total", "local") == 545 and
              m.sink("delivered_total", "audit") == 545)
    got = {k: v for k, v in m.events().items() if v}
    same(got, {"flags": 300, "message": 200, "subscription": 40, "mailbox": 3, "other": 2},
         "events by group")
    same(m.lost(), {}, "lost")
    for reason in ("max_size", "no_space", "unknown"):  # a counter must begin at zero
        same(m.get("mboxevent_lost_total", reason=reason), 0, reason)
    segments = [f for f in os.listdir(world.box.at("journal")) if f.endswith(".seg")]
    same(m.get("mboxevent_journal_segments"), len(segments), "segments")
    check(len(segments) > 1, "there should be several: the broken sink holds them")
    same(m.get("mboxevent_journal_bytes"),
         sum(os.path.getsize(world.box.at("journal", f)) for f in segments), "bytes")
    check(0 < m.get("mboxevent_journal_room_bytes") < m.get("mboxevent_journal_max_bytes"), "room")
    m = until(world, "a sync", lambda m: m.get("mboxevent_journal_sync_seconds_count") > 0)
    check(m.get("mboxevent_journal_sync_seconds_sum") > 0, "syncs take time")
    same(m.get("mboxevent_journal_sync_seconds_bucket", le="+Inf"),
         m.get("mboxevent_journal_sync_seconds_count"), "the last bucket")
    same(m.get("mboxevent_journal_sync_failures_total"), 0, "failed syncs")
    for sink in ("audit", "local"):
        for what in ("resent_total", "failures_total", "dropped_total", "discarded_total",
                     "lag_events", "lag_bytes", "lag_seconds"):
            if what.startswith("lag"):
                until(world, "no lag", lambda m, w=what, s=sink: m.sink(w, s) == 0)
            else:
                same(m.sink(what, sink), 0, "%s of %s" % (what, sink))
        same(m.state(sink), "connected", "state of " + sink)
    same(m.sink("in_flight", "audit"), 0, "in flight")
    same(m.sink("subscriptions", "local"), 1, "subscriptions")
    same(m.get("notifyd_sink_info", sink="audit", type="log", required="yes"), 1, "info")
    for sink in ("audit", "local", "broken"):
        same(m.get("notifyd_process_up", process="sink", sink=sink), 1, "up: " + sink)
        same(m.get("notifyd_restarts_total", process="sink", sink=sink), 0, "restarts: " + sink)
    version = world.box.run([world.notifyd.notifyd, "--version"]).stdout.split()[-1]
    same(m.get("notifyd_build_info", version=version), 1, "version")
    began = os.stat("/proc/%d" % world.notifyd.process.pid).st_ctime
    check(abs(m.get("notifyd_start_time_seconds") - began) < 600, "start time")
    reader.close()


@case("lag is exact, wherever the cursor is, and grows old")
def lag(world):
    m = until(world, "failures", lambda m: m.sink("failures_total", "broken") > 0)
    same(m.sink("lag_events", "broken"), 545, "all that was sent")
    check(m.sink("lag_bytes", "broken") > 545 * 100, "bytes")
    same(m.sink("delivered_total", "broken"), 0, "delivered")
    check(m.state("broken") in ("retrying", "connecting"), m.state("broken"))
    check(m.sink("lag_seconds", "broken") > 0, "age")
    later = until(world, "older", lambda n: n.sink("lag_seconds", "broken") >
                  m.sink("lag_seconds", "broken"))
    check(later.sink("failures_total", "broken") >= m.sink("failures_total", "broken"), "failures")
    # a cursor between two of the marks that the metrics process keeps, then back before the first
    ids = [line.split()[0] for line in
           world.notifyd.ctl("journal", "dump").stdout.splitlines()]
    same(len(ids), 545, "ids")
    for at in (200, 333, 544, 7):
        move = ("skip", "--to") if at != 7 else ("replay", "--from")
        world.notifyd.ctl(move[0], "broken", move[1], ids[at])
        until(world, "lag from event %d on" % at,
              lambda m, n=at: m.sink("lag_events", "broken") == 545 - n)


@case("the text is Prometheus's, as promtool reads it, and names nobody")
def promtool(world):
    text = world.http.metrics().text
    for word in ("jane", "example.org", "Private", "reader"):
        check(word not in text, "%r is in the metrics" % word)
    tool = shutil.which("promtool")
    check(tool, "promtool is missing (package prometheus): run contrib/deps test")
    r = world.box.run([tool, "check", "metrics"], check=False, input=text)
    same((r.returncode, r.stdout, r.stderr), (0, "", ""), "promtool check metrics")


@case("counters never go back: workers killed, reloads, the metrics process killed")
def monotonic(world):
    before = world.http.metrics()
    restarts = 0
    for round_ in range(3):
        for victim in ("audit", "metrics", "local"):
            pid = wait_for("a process", lambda v=victim: world.notifyd.worker(v))
            send(world, 50)
            os.kill(pid, signal.SIGKILL)
            wait_for("another", lambda v=victim, p=pid: world.notifyd.worker(v) not in (None, p))
            after = until(world, "a scrape", lambda m: True)
            not_back(before, after)
            before = after
        restarts += 1
        os.kill(world.notifyd.process.pid, signal.SIGHUP)
        send(world, 10)
        after = until(world, "restarts", lambda m, n=restarts: all(
            m.get("notifyd_restarts_total", process="sink", sink=s) >= n
            for s in ("audit", "local")))
        not_back(before, after)
        before = after
    m = until(world, "all are counted", lambda m: sum(m.events().values()) == world.sent)
    same(m.events()["other"], 2, "others")
    # at least once: what was on its way when it was killed may be there twice, and is counted so
    m = until(world, "all are delivered", lambda m: m.sink("lag_events", "audit") == 0)
    check(world.sent <= m.sink("delivered_total", "audit") <= written(world),
          "%d sent, %d counted, %d written" % (
              world.sent, m.sink("delivered_total", "audit"), written(world)))
    same(m.get("notifyd_restarts_total", process="sink", sink="audit"), 3, "restarts of audit")
    same(m.get("notifyd_restarts_total", process="sink", sink="broken"), 0, "restarts of broken")
    check(m.get("notifyd_restarts_total", process="metrics", sink="") >= 3, "of metrics")


@case("what is no request to answer is refused, politely")
def requests(world):
    for method, path, code in (("GET", "/", 404), ("POST", "/metrics", 405),
                               ("DELETE", "/healthz", 405), ("GET", "/metrics/../etc", 404),
                               ("GET", "/metrics?x=1", 200), ("HEAD", "/metrics", 200)):
        got, headers, body = world.http.ask(path, method)
        same(got, code, "%s %s" % (method, path))
        same(headers["connection"], "close", "connection")
        if method == "HEAD":
            same(body, "", "body of HEAD")
    same(world.http.ask("/metrics")[1]["content-type"],
         "text/plain; version=0.0.4; charset=utf-8", "type")
    with world.http.connect() as s:  # with a body
        s.sendall(b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n")
        try:
            s.sendall(b"x" * 300000)
        except OSError:
            pass
        check(b" 405 " in s.recv(1 << 16), "a body")


@case("clients that are slow, silent, many or mad end nothing and hold up nobody for long")
def hostile(world):
    pid = world.notifyd.worker("metrics")
    open_ = []
    for n in range(120):
        s = world.http.connect()
        s.setblocking(False)
        try:
            s.send((b"", b"G", b"GET /metrics HTTP/1.1\r\nX: ", b"\0\xff\r\n\r\n", b"\x16\x03\x01",
                    b"GET /metrics HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
                    b"GET " + b"/" * 100000)[n % 7])
        except OSError:
            pass
        open_.append(s)

    def trickle():
        for s in open_:
            try:
                s.send(b"x")
            except OSError:
                pass
        try:
            return world.http.ask("/healthz", timeout=60)[0] == 200
        except OSError:
            return False
    for _ in range(20):  # and those that do not read what they asked for
        s = world.http.connect()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        s.setblocking(False)
        open_.append(s)
    wait_for("an answer in spite of them", trickle, 60, every=0.2)
    same(world.notifyd.worker("metrics"), pid, "the process")
    for s in open_:
        s.close()
    same(world.notifyd.worker("metrics"), pid, "the process still")
    same(world.http.metrics().lost(), {}, "lost")


@case("/readyz turns to 503 when a sink's worker keeps dying, and says which")
def ready(world):
    for _ in range(2):
        pid = wait_for("a process", lambda: world.notifyd.worker("audit"))
        os.kill(pid, signal.SIGKILL)
        wait_for("another", lambda p=pid: world.notifyd.worker("audit") not in (None, p))
    code, _, body = world.http.ask("/readyz")
    same(code, 503, "after two kills: " + body)
    check("sink audit: its worker died" in body and "broken" not in body, body)
    world.notifyd.stop()
    world.notifyd.start()
    wait_for("metrics", world.http.up)
    wait_for("ready", lambda: world.http.ask("/readyz")[0] == 200)
    same(world.http.ask("/readyz")[2], "ok\n", "body")
    for _ in range(2):
        pid = wait_for("a process", lambda: world.notifyd.worker("broken"))
        os.kill(pid, signal.SIGKILL)
        wait_for("another", lambda p=pid: world.notifyd.worker("broken") not in (None, p))
    code, _, body = wait_for("503", lambda: [world.http.ask("/readyz")])[0]
    same((code, body), (503, "sink broken: its worker died 2 times in a row\n"), "/readyz")
    same(world.http.ask("/healthz")[0], 200, "/healthz is another matter")


@case("/healthz turns to 503 when the journal can't be written, and says why")
def healthy(world):
    same(world.http.ask("/healthz")[2], "ok\n", "body")
    journal = world.box.at("journal")
    mode = stat.S_IMODE(os.stat(journal).st_mode)
    os.chmod(journal, 0o500)
    try:
        code, _, body = world.http.ask("/healthz")
        if os.geteuid() == 0 or code != 200:
            same(code, 503, "a journal that is read-only")
            check("cannot be written" in body and journal in body, body)
    finally:
        os.chmod(journal, mode)
    same(world.http.ask("/healthz")[0], 200, "again")
    os.kill(world.notifyd.process.pid, signal.SIGSTOP)
    try:
        code, _, body = wait_for("503", lambda: (lambda a: a if a[0] == 503 else None)(
            world.http.ask("/healthz")), 60, every=0.5)
        check("has not moved for" in body, body)
    finally:
        os.kill(world.notifyd.process.pid, signal.SIGCONT)
    wait_for("200", lambda: world.http.ask("/healthz")[0] == 200, 60)


@case("a full journal: room, losses and /healthz say so")
def full(world):
    world.notifyd.ctl("subscriptions", "--remove", "local@reader")
    world.cyrus.configure({"mboxevent_max_size": "256K", "mboxevent_retain": "0"})
    os.kill(world.notifyd.process.pid, signal.SIGHUP)
    until(world, "the new limit", lambda m: m.get("mboxevent_journal_max_bytes") == 256 << 10)
    for _ in range(40):
        text = "".join(json.dumps(event(n)) + "\n" for n in range(200))
        r = world.notifyd.ctl("send", "-", check=False, input=text)
        if r.returncode:
            break
    else:
        raise Failed("it never became full")
    m = until(world, "no room", lambda m: m.get("mboxevent_journal_room_bytes") == 0)
    same(list(m.lost()), ["max_size"], "why events are lost")
    status = json.loads(world.notifyd.ctl("status", "--json").stdout)
    same((status["journal"]["lostReasons"], status["journal"]["lost"]),
         (m.lost(), m.lost()["max_size"]), "status")
    check(any("%d max_size" % m.lost()["max_size"] in line for line in status["attention"]),
          "attention: %r" % status["attention"])
    lost = world.box.at("journal", "lost")
    os.chmod(lost, 0)  # what can't be read is left out: a zero would be all losses once more
    _, _, body = world.http.ask("/metrics")
    os.chmod(lost, 0o600)
    check("mboxevent_lost_total" not in body, "a number that was not read")
    code, _, body = world.http.ask("/healthz")
    same(code, 503, "/healthz")
    check("is full (mboxevent_max_size): events are lost" in body, body)
    world.notifyd.ctl("skip", "broken", "--to", "now")
    until(world, "room again", lambda m: m.get("mboxevent_journal_room_bytes") > 0)
    same(world.http.ask("/healthz")[0], 200, "/healthz again")


@case("another loss, of a process that may write no longer files, has a reason of its own")
def limited(world):
    before = world.http.metrics().lost()
    r = world.box.run(["sh", "-c", 'ulimit -f 8; exec "$@"', "sh", world.notifyd.notifyctl, "-C",
                       world.cyrus.imapd_conf, "send", "-"], check=False, user=world.box.user,
                      input="".join(json.dumps(event(n)) + "\n" for n in range(50)))
    check("file size limit" in r.stderr, r.stderr)
    m = world.http.metrics()
    same({k: v for k, v in m.lost().items() if k != "file_size_limit"}, before, "other reasons")
    check(0 < m.get("mboxevent_lost_total", reason="file_size_limit") <= 50, "%r" % m.lost())
    text = world.notifyd.ctl("status").stdout
    check("%d file_size_limit: a mail process may not" % m.lost()["file_size_limit"] in text, text)
    text = world.notifyd.ctl("doctor", check=False).stdout
    check("(file_size_limit): a mail process may not" in text and "LimitFSIZE" in text, text)
    check("(max_size): the journal was full" in text, text)


@case("events that can never be delivered are dropped, and counted")
def dropped(world):
    world.cyrus.configure({"notifyd_broken_mode": "drop"})
    os.kill(world.notifyd.process.pid, signal.SIGHUP)
    until(world, "the sink", lambda m: m.sink("lag_events", "broken") == 0)
    before = until(world, "the sink", lambda m: m.sink("dropped_total", "broken") is not None).sink(
        "dropped_total", "broken")
    world.send([event(n) for n in range(7)])
    until(world, "dropped", lambda m: m.sink("dropped_total", "broken") == before + 7)
    until(world, "dead letters", lambda m: m.sink("dead_letters", "broken") == 7)
    check(any("sink broken has 7 dead letters" in line for line in json.loads(
        world.notifyd.ctl("status", "--json").stdout)["attention"]), "attention")


@case("a UNIX socket instead, with a mode; then none")
def unix(world):
    path = world.box.at("run", "metrics")
    world.cyrus.configure({"notifyd_metrics": path, "notifyd_metrics_mode": "0600"})
    os.kill(world.notifyd.process.pid, signal.SIGHUP)
    http = Scraper(path)
    wait_for("the socket", http.up)
    same(stat.S_IMODE(os.stat(path).st_mode), 0o600, "mode")
    check(http.metrics().get("notifyd_start_time_seconds") > 0, "metrics")
    check(not world.http.up(), "the port is still open")
    pid = world.notifyd.worker("metrics")  # its socket is stale then, and replaced
    os.kill(pid, signal.SIGKILL)
    wait_for("another", lambda: world.notifyd.worker("metrics") not in (None, pid) and http.up())
    del world.cyrus.conf["notifyd_metrics"], world.cyrus.conf["notifyd_metrics_mode"]
    world.cyrus.configure({})
    os.kill(world.notifyd.process.pid, signal.SIGHUP)
    wait_for("its end",
             lambda: world.notifyd.worker("metrics") is None and not os.path.exists(path))
    world.notifyd.alive()


@case("an address that is taken is told, and taken when it is free")
def taken(world):
    port = world.box.port()
    with socket.socket() as s:
        s.bind(("127.0.0.1", port))
        s.listen()
        world.cyrus.configure({"notifyd_metrics": "127.0.0.1:%d" % port})
        os.kill(world.notifyd.process.pid, signal.SIGHUP)
        wait_for("a line in the log", lambda: "127.0.0.1:%d: Address already in use; choose another "
                 "port" % port in world.notifyd.log())
    wait_for("metrics", Scraper(("127.0.0.1", port)).up)


case.run(setup)
