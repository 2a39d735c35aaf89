#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Between notifyd and the broker: connections that are reset, that lead nowhere, and certificates
that are wrong. Nothing is lost, no other sink waits, status says what it is. MBOXEVENT_EACH: events
a fault."""

import threading

import tap
tap.need(rabbitmq_server="/usr/lib/rabbitmq/bin/rabbitmq-server",
         python3_pika="/usr/lib/python3/dist-packages/pika",
         python3_cryptography="/usr/lib/python3/dist-packages/cryptography",
         cyrus_imapd="/usr/lib/cyrus/bin/imapd")

import json
import os
import pwd
import subprocess
import time

from certificates import Authority
from harness import World
from proxy import DOWN, UP, Proxy
from rabbit import Rabbit
from tap import check, same
from traffic import collect, compare, during, each, forget, says, seed, Traffic

case = tap.Cases()

EACH = each(4000)
LONG = 300 + EACH // 250
RESETS = 5
SAFE = "example.net"
HERE = ("127.0.0.1", "localhost")


def setup():
    world = World("amqp-network")
    try:
        box = world.box
        as_broker = (lambda path: os.chown(path, pwd.getpwnam("rabbitmq").pw_uid, -1)
                     ) if os.geteuid() == 0 else (lambda path: None)
        world.authority = Authority(box.at("certificates"), as_broker)
        world.server = world.authority.issue("server", HERE)
        world.rabbit = Rabbit(box, tls=(world.authority.file,) + world.server,
                              plugins=("rabbitmq_auth_mechanism_ssl",))
        world.rabbit.start()
        world.plain = Proxy(world.rabbit.port)
        world.safe = Proxy(world.rabbit.tls_port)
        box.closers += [world.plain.close, world.safe.close]
        world.client = world.authority.issue("client", common_name="guest", client=True,
                                             own=box.own)
        world.conf = {
            "notifyd_sinks": "local mq safe",
            "notifyd_mq_type": "amqp",
            "notifyd_mq_url": "amqp://guest@127.0.0.1:%d/" % world.plain.port,
            "notifyd_mq_exchange": "mail.events",
            "notifyd_mq_queue": "indexer",
            "notifyd_mq_users": "*@example.org",
            "notifyd_mq_timeout": "4s",
            "notifyd_mq_heartbeat": "4s",
            "notifyd_safe_type": "amqp",
            "notifyd_safe_url": "amqps://guest@127.0.0.1:%d/" % world.safe.port,
            "notifyd_safe_cafile": world.authority.file,
            "notifyd_safe_exchange": "mail.safe",
            "notifyd_safe_queue": "safe",
            "notifyd_safe_users": "*@" + SAFE,
            "notifyd_safe_timeout": "4s",
        }
        world.cyrus.configure(world.conf)
        world.notifyd.start()
        world.oracle = world.subscribe("oracle")
        for queue in ("indexer", "safe"):
            world.rabbit.queue(queue)
    except BaseException:
        world.close()
        raise
    return world


@case("the connection is reset within frames, %d times during %d events" % (RESETS, EACH), LONG)
def resets(world):
    forget(world)
    least = EACH * 300 // RESETS // 4
    traffic = Traffic(world, EACH)
    cutter = threading.Thread(target=world.plain.resets_at_random,
                              args=(RESETS, least, 3 * least, seed()), daemon=True)
    before = world.plain.resets
    cutter.start()
    traffic.allow(4)
    want = traffic.ids()
    compare(collect(world.rabbit, "indexer", want, LONG), want, "resets within frames",
            most=RESETS + 2)
    cutter.join(1)
    check(world.plain.resets >= before + RESETS - 1,
          "only %d resets" % (world.plain.resets - before))
    world.plain.reset_after(1 << 60)


def hole(title, ways, total, pad=0):
    @case("a black hole: %s, %d events" % (title, total), LONG)
    def run(world):
        during(world, title, total, lambda: world.plain.hold(*ways), world.plain.release,
               ("silent for|timed out|no answer in time",), pad=pad)


hole("the broker's answers are swallowed", (DOWN,), EACH)
hole("nothing passes either way", (UP, DOWN), EACH)
# Large ones, more than all buffers on the way hold.
hole("what is sent is swallowed", (UP,), min(EACH, 20000), 6000)


@case("connections are accepted and never answered, %d events" % EACH, LONG)
def mute(world):
    during(world, "never answered", EACH, world.plain.mute, world.plain.release,
           ("no answer in time",))


@case("the same for amqps, in the TLS handshake, %d events" % EACH, LONG)
def mute_tls(world):
    during(world, "TLS never answered", EACH, world.safe.mute, world.safe.release,
           ("no answer",), "safe", "safe", SAFE)


@case("all connections over TLS are reset within a record", LONG)
def resets_tls(world):
    forget(world)
    least = EACH * 300 // RESETS // 4
    traffic = Traffic(world, EACH, SAFE)
    cutter = threading.Thread(target=world.safe.resets_at_random,
                              args=(RESETS, least, 3 * least, seed()), daemon=True)
    cutter.start()
    traffic.allow(4)
    want = traffic.ids()
    compare(collect(world.rabbit, "safe", want, LONG), want, "resets within TLS records",
            most=RESETS + 2)
    world.safe.reset_after(1 << 60)


def serve_with(world, **how):
    """The broker's certificate is another from the next handshake on, which comes at once."""
    world.authority.issue("server", **how)
    world.rabbit.eval("ssl:clear_pem_cache().")
    world.safe.reset()


@case("EXTERNAL: logged in by certificate, %d events, the connection reset meanwhile" % EACH, LONG)
def external(world):
    named = {"sasl": "external", "certificate": world.client[0], "key": world.client[1]}
    world.cyrus.configure({"notifyd_safe_" + k: v for k, v in named.items()})
    restart(world)
    says(world, "safe", "connected")
    users = world.rabbit.ctl("-q", "list_connections", "user", "auth_mechanism", "ssl",
                             "--no-table-headers").splitlines()
    check("guest\tEXTERNAL\ttrue" in users, "connections: %s" % users)
    during(world, "EXTERNAL", EACH, world.safe.reset, lambda: None, (), "safe", "safe", SAFE)
    world.cyrus.configure({"notifyd_safe_" + k: None for k in named})
    restart(world)


def certificate(title, words, **how):
    def run(world):
        during(world, title, EACH, lambda: serve_with(world, **how),
               lambda: serve_with(world, hosts=HERE), ("certificate is refused",) + words,
               "safe", "safe", SAFE)
    case("%s, %d events" % (title, EACH), LONG)(run)


certificate("the broker's certificate is for another host", ("mismatch",),
            hosts=("mq.example.org", "192.0.2.1"))
certificate("the broker's certificate expires", ("expired",), hosts=HERE, first=-30, last=-1)


@case("the broker refuses our certificate: said as what it is, with what to do", LONG)
def refused_by_broker(world):
    other = Authority(world.box.at("foreign"), name="A foreign authority")
    crt, key = other.issue("client", common_name="guest", client=True, own=world.box.own)
    world.cyrus.configure({"notifyd_safe_certificate": crt, "notifyd_safe_key": key})
    restart(world)
    says(world, "safe", "the broker refuses our certificate", "options certificate and key")
    world.cyrus.configure({"notifyd_safe_certificate": None, "notifyd_safe_key": None})
    restart(world)
    says(world, "safe", "connected")


@case("a server that speaks no TLS 1.2 is refused", LONG)
def old_tls(world):
    port = world.box.port()
    server = world.box.start("old-tls", [
        "openssl", "s_server", "-accept", "127.0.0.1:%d" % port, "-cert", world.server[0], "-key",
        world.server[1], "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-quiet"],
        stdin=subprocess.PIPE)
    world.cyrus.configure({"notifyd_safe_url": "amqps://guest@127.0.0.1:%d/" % port})
    # What Debian's own configuration forbids.
    lenient = world.box.at("openssl.cnf")
    with open(lenient, "w", encoding="ascii") as f:
        f.write("openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = old\n[old]\n"
                "MinProtocol = TLSv1\nCipherString = ALL:@SECLEVEL=0\n")
    world.notifyd.stop()
    world.notifyd.start(env={"OPENSSL_CONF": lenient})
    says(world, "safe", "TLS failed: .*(protocol|version|alert)")
    world.box.stop(server)
    world.cyrus.configure(world.conf)
    restart(world)
    says(world, "safe", "connected")


@case("without cafile the system's authorities count", LONG)
def system_store(world):
    world.cyrus.configure({"notifyd_safe_cafile": None})
    world.notifyd.stop()
    world.notifyd.start(env={"SSL_CERT_FILE": world.authority.file})
    says(world, "safe", "connected")
    restart(world)
    says(world, "safe", "certificate is refused")
    world.cyrus.configure(world.conf)
    restart(world)
    says(world, "safe", "connected")


@case("an idle connection is kept by heartbeats, and given up without the broker's", LONG)
def idle(world):
    says(world, "mq", "connected")
    before = world.plain.accepted
    time.sleep(14)  # three of 4 s, and some: either side would have closed it
    same(world.plain.accepted, before, "connections")
    says(world, "mq", "connected")
    world.plain.hold(DOWN)
    says(world, "mq", "silent for", timeout=30)
    world.plain.release()
    says(world, "mq", "connected")


@case("a large event on a slow line arrives, though it takes longer than notifyd_stall", LONG)
def slow_line(world):
    forget(world)
    slow = Proxy(world.rabbit.port, window=64 << 10)
    world.box.closers.append(slow.close)
    slow.rate = 400 << 10
    world.cyrus.configure({"notifyd_stall": "10s", "notifyd_mq_url":
                           "amqp://guest@127.0.0.1:%d/" % slow.port})
    restart(world)
    says(world, "mq", "connected")
    pid, begin = world.notifyd.worker("mq"), time.monotonic()
    events = [{"event": "MessageNew", "user": "john@example.org", "vnd.example.n": n,
               "pad": "x" * ((12 << 20) if n == 1 else 10)} for n in range(3)]
    world.send(events)
    got = world.rabbit.collect("indexer", lambda got: len(got) == 3, 120)
    seconds = time.monotonic() - begin
    print("# it took %.0f s" % seconds, flush=True)
    same([json.loads(body) for _, body in got], events, "events")
    check(seconds > 20, "the line is not slow: %.0f s" % seconds)
    same(world.notifyd.worker("mq"), pid, "the worker")
    world.cyrus.configure({"notifyd_stall": None})
    world.cyrus.configure(world.conf)
    restart(world)
    says(world, "mq", "connected")


@case("the broker's certificate is not of a known authority", LONG)
def unknown(world):
    other = Authority(world.box.at("others"), name="Another authority")
    same(refused(world, cafile=other.file), 0, "status of notifyd -t")
    world.cyrus.configure({"notifyd_safe_cafile": other.file})
    restart(world)
    says(world, "safe", "certificate is refused", "self-signed")
    world.cyrus.configure(world.conf)
    restart(world)
    says(world, "safe", "connected")


def restart(world):
    world.notifyd.stop()
    world.notifyd.start()


def refused(world, *words, **options):
    """Exit status of notifyd -t with these options of the sink; it must say all the words."""
    world.cyrus.configure({**world.conf, **{"notifyd_safe_" + k: v for k, v in options.items()}})
    r = world.box.run([world.notifyd.notifyd, "-t", "-C", world.cyrus.imapd_conf], check=False,
                      user=world.box.user)
    world.cyrus.configure({"notifyd_safe_" + k: None for k in options})
    world.cyrus.configure(world.conf)
    missing = [w for w in words if w not in r.stderr]
    check(not missing, "notifyd -t does not say %s: %s" % (missing, r.stderr))
    if words:
        print("# " + r.stderr.strip())
    return r.returncode


@case("a protected, an expired and a foreign client key are configuration errors")
def keys(world):
    issue = lambda name, **how: world.authority.issue(name, client=True, own=world.box.own, **how)
    protected, expired = issue("protected", passphrase="secret"), issue("expired", last=-1)
    for files, word in ((protected, "pass phrase"), (expired, "has expired"),
                        ((protected[0], world.client[1]), "does not belong"),
                        ((world.client[0], world.server[1]), world.server[1])):
        check(refused(world, word, certificate=files[0], key=files[1]) != 0,
              "notifyd -t accepts %s" % (files,))
    same(refused(world, certificate=world.client[0], key=world.client[1]), 0,
         "status of notifyd -t with a good one")


case.run(setup)
