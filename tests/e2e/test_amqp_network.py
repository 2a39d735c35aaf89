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

import os
import pwd

from certificates import Authority
from harness import World
from processes import wait_for
from proxy import DOWN, UP, Proxy
from rabbit import Rabbit
from tap import check, same
from traffic import collect, compare, during, each, forget, says, seed, Traffic

case = tap.Cases()

EACH = each(4000)
LONG = 120 + EACH // 250
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
    compare(collect(world.rabbit, "indexer", want, LONG), want, "resets within frames")
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
    compare(collect(world.rabbit, "safe", want, LONG), want, "resets within TLS records")
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


case.run(setup, 180)
