#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Exchanges, queues, bindings and keys as the options say; who a certificate is logs in by it; what
no queue takes, and what the broker finds too large, is a dead letter and nothing else is; what
status says of each."""

import json
import os
import re
import signal

import tap
tap.need(rabbitmq_server="/usr/lib/rabbitmq/bin/rabbitmq-server",
         python3_pika="/usr/lib/python3/dist-packages/pika",
         openssl="/usr/bin/openssl",
         cyrus_imapd="/usr/lib/cyrus/bin/imapd")

from harness import World
from processes import wait_for
from rabbit import Rabbit
from tap import check, same

case = tap.Cases()

LIMIT = 300000  # bytes of a message; the broker's, for this test
FRAME = 131072 - 8
SINKS = {
    "words": {
        "exchange": "mail.words", "routing_key": "mail.%s.%d.%l.%g.%e", "queue": "words",
        "queue_type": "classic", "bindings": "mail.#.flags.* never.matched",
        "queue_arguments": "x-max-length=1000 x-overflow=reject-publish "
                           "x-single-active-consumer=true", "unroutable": "drop"},
    "heads": {"exchange": "mail.heads", "exchange_type": "headers", "unroutable": "drop"},
    "hash": {"exchange": "mail.hash", "exchange_type": "x-consistent-hash", "queue": "hash",
             "bindings": "1", "exchange_arguments": "hash-header=user"},
    "rest": {"exchange": "mail.rest", "alternate_exchange": "mail.alternate"},
    "flow": {"exchange": "mail.flow", "queue": "flow", "queue_type": "stream",
             "queue_arguments": "x-max-age=7D x-stream-max-segment-size-bytes=1000000"},
    "there": {"exchange": "mail.there", "declare": "no", "queue": "there"},
    "lost": {"exchange": "mail.lost", "unroutable": "dead-letter"},
    "odd": {"exchange": "mail.odd", "exchange_type": "x-nowhere"},
    "pair": {"exchange": "mail.pair"},
    "down": {"exchange": "mail.down"},
    "cert": {"exchange": "mail.cert", "queue": "cert", "queue_type": "classic",
             "sasl": "external"},
}


def setup():
    world = World("amqp-topology")
    try:
        world.rabbit = Rabbit(world.box)
        with open(os.path.join(world.rabbit.dir, "plugins"), "w", encoding="ascii") as f:
            f.write("[rabbitmq_consistent_hash_exchange,rabbitmq_auth_mechanism_ssl].\n")
        port = tls(world)
        world.rabbit.start()
        world.rabbit.ctl("add_user", "indexer", "no password that anyone knows")
        world.rabbit.ctl("set_permissions", "indexer", ".*", ".*", ".*")
        world.rabbit.ctl("eval", "application:set_env(rabbit, max_message_size, %d)." % LIMIT)
        world.closed = [world.box.port(), world.box.port()]
        channel(world, lambda c: (
            c.exchange_declare("mail.alternate", "fanout", durable=True),
            c.queue_declare("alternate", durable=True),
            c.queue_bind("alternate", "mail.alternate")))
        conf = {"notifyd_sinks": "local " + " ".join(SINKS)}
        for name, options in SINKS.items():
            prefix = "notifyd_%s_" % name
            conf[prefix + "type"] = "amqp"
            conf[prefix + "url"] = world.rabbit.url()
            conf[prefix + "users"] = "*@%s.example.org" % name
            for option, value in options.items():
                conf[prefix + option] = value
        conf["notifyd_pair_url"] = "amqp://guest@127.0.0.1:%d,127.0.0.1:%d/" % (
            world.closed[0], world.rabbit.port)
        conf["notifyd_down_url"] = "amqp://guest@127.0.0.1:%d,127.0.0.1:%d/" % tuple(world.closed)
        # By name: the certificate has no address in it.
        conf["notifyd_cert_url"] = "amqps://localhost:%d/" % port
        for option in ("cafile", "certificate", "key"):
            conf["notifyd_cert_" + option] = world.box.at("tls", option)
        world.cyrus.configure(conf)
        world.server = "mail1.example.org"
        world.cyrus.configure({"servername": world.server})
        world.notifyd.start()
        for name in ("words", "heads", "hash", "rest", "flow", "lost", "pair", "cert"):
            wait_for("sink %s is connected" % name,
                     lambda n=name: state(world, n).startswith("connected to"), every=0.2)
    except BaseException:
        world.close()
        raise
    return world


def tls(world):
    """A port of the broker for amqps; certificates for it and for us of an authority of our own."""
    box, port = world.box, world.box.port()
    box.folder("tls")
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
           "-nodes", "-days", "2"]
    authority = ["-CA", box.at("tls", "cafile"), "-CAkey", box.at("tls", "authority.key"),
                 "-addext", "basicConstraints=CA:FALSE"]
    for name, key, more in (
            ("cafile", "authority.key", ["-subj", "/CN=Authority"]),
            ("broker", "broker.key", ["-subj", "/CN=broker", "-addext",
                                      "subjectAltName=DNS:localhost"] + authority),
            ("certificate", "key", ["-subj", "/CN=indexer"] + authority)):
        box.run(new + ["-keyout", box.at("tls", key), "-out", box.at("tls", name)] + more)
    box.run(["chmod", "0444", box.at("tls", "broker.key")])
    box.own(box.at("tls", "key"))
    with open(os.path.join(world.rabbit.dir, "rabbitmq.conf"), "a", encoding="ascii") as f:
        f.write("listeners.ssl.1 = 127.0.0.1:%d\n" % port +
                "".join("ssl_options.%s = %s\n" % (option, box.at("tls", name)) for option, name in (
                    ("cacertfile", "cafile"), ("certfile", "broker"), ("keyfile", "broker.key"))) +
                "ssl_options.verify = verify_peer\n"
                "ssl_options.fail_if_no_peer_cert = true\n"
                "ssl_cert_login_from = common_name\n"
                "auth_mechanisms.1 = PLAIN\n"
                "auth_mechanisms.2 = EXTERNAL\n")
    return port


def channel(world, fn):
    connection = world.rabbit.connect()
    try:
        return fn(connection.channel())
    finally:
        connection.close()


def sink(world, name):
    text = world.notifyd.ctl("status", "--json").stdout
    return next(s for s in json.loads(text)["sinks"] if s["name"] == name)


def state(world, name):
    return sink(world, name)["state"]


def event(domain, n, kind="MessageRead", owner="john.doe", user="jane", **more):
    owner += "@%s.example.org" % domain
    return {"event": kind, "user": "%s@%s.example.org" % (user, domain), "uidset": str(n + 1),
            "uri": "imap://%s@imap.example.org/INBOX;UIDVALIDITY=1" % owner, "vnd.example.n": n,
            **more}


def take(world, queue, count, timeout=60):
    """(method, properties, body) of so many messages, in order."""
    got = []

    def some(c):
        while len(got) < count:
            one = c.basic_get(queue, auto_ack=True)
            if one[0] is None:
                return False
            got.append(one)
        return True
    wait_for("%d messages in queue %s" % (count, queue), lambda: channel(
        world, some), timeout, every=0.1)
    return got


def numbers(got):
    return [json.loads(body)["vnd.example.n"] for _, _, body in got]


def connections(world, name):
    """Ports of the sink's connections."""
    rows = world.rabbit.ctl("-q", "list_connections", "peer_port", "client_properties",
                            "--no-table-headers").splitlines()
    return {r.split()[0] for r in rows if "notifyd %s on" % name in r}


@case("a template makes the key, bindings choose, arguments are the queue's")
def words(world):
    world.send([event("words", 0), event("words", 1, "MessageTrash"),
                event("words", 2, "MailboxCreate"), event("words", 3, owner="a*b#c")])
    got = take(world, "words", 3)
    same(numbers(got), [0, 1, 3], "events that the binding takes")
    start = "mail.%s.words%%2Eexample%%2Eorg." % world.server.replace(".", "%2E")
    same([m.routing_key for m, _, _ in got],
         [start + "john%2Edoe.flags.MessageRead", start + "john%2Edoe.flags.MessageTrash",
          start + "a%2Ab%23c.flags.MessageRead"], "keys")
    # The broker refuses to declare it otherwise than it is.
    channel(world, lambda c: c.queue_declare("words", durable=True, arguments={
        "x-queue-type": "classic", "x-max-length": 1000, "x-overflow": "reject-publish",
        "x-single-active-consumer": True}))
    wait_for("the one that no binding took is counted",
             lambda: "1 unroutable dropped" in state(world, "words"))
    counts = lambda: {k: sink(world, "words")[k] for k in ("delivered", "dropped", "discarded")}
    wait_for("it is not among those that were delivered",
             lambda: counts() == {"delivered": 3, "dropped": 0, "discarded": 1})
    os.kill(sink(world, "words")["pid"], signal.SIGKILL)
    world.send([event("words", 4, "MailboxCreate"), event("words", 5)])
    take(world, "words", 1)
    wait_for("the count goes on",
             lambda: counts() == {"delivered": 4, "dropped": 0, "discarded": 2})


@case("a headers exchange: a queue for one user's flags")
def headers(world):
    channel(world, lambda c: (c.queue_declare("heads", durable=True), c.queue_bind(
        "heads", "mail.heads", arguments={"x-match": "all", "group": "flags",
                                          "owner": "mary@heads.example.org"})))
    world.send([event("heads", n, owner="mary" if n % 3 == 0 else "john",
                      kind="MailboxCreate" if n % 2 else "MessageRead") for n in range(12)])
    got = take(world, "heads", 2)
    same(numbers(got), [0, 6], "events")
    same(got[0][1].headers, {
        "group": "flags", "event": "MessageRead", "user": "jane@heads.example.org",
        "owner": "mary@heads.example.org", "domain": "heads.example.org", "mailbox": "INBOX"},
         "headers")


@case("an exchange of a plugin's type, hashing a header")
def plugin(world):
    world.send([event("hash", n) for n in range(5)])
    same(numbers(take(world, "hash", 5)), list(range(5)), "events")
    channel(world, lambda c: c.exchange_declare(
        "mail.hash", "x-consistent-hash", durable=True, arguments={"hash-header": "user"}))


@case("what no queue is bound for goes to the alternate exchange")
def alternate(world):
    world.send([event("rest", n) for n in range(5)])
    same(numbers(take(world, "alternate", 5)), list(range(5)), "events")
    wait_for("nothing is tried again", lambda: state(world, "rest").startswith("connected to"))


@case("a stream with arguments")
def stream(world):
    world.send([event("flow", n) for n in range(100)])
    wait_for("the stream has them", lambda: any(
        row.split() == ["flow", "stream", "100"] for row in world.rabbit.ctl(
            "-q", "list_queues", "name", "type", "messages", "--no-table-headers").splitlines()),
             every=0.5)
    channel(world, lambda c: c.queue_declare("flow", durable=True, arguments={
        "x-queue-type": "stream", "x-max-age": "7D", "x-stream-max-segment-size-bytes": 1000000}))


@case("declare: no: what is missing is told, and once it is there SIGHUP goes on at once")
def passive(world):
    world.send([event("there", n) for n in range(5)])
    wait_for("status tells what to do", lambda: re.search(
        "404 NOT_FOUND.*mail.there.*make it", sink(world, "there").get("error") or ""))
    names = world.rabbit.ctl("-q", "list_exchanges", "name", "--no-table-headers").split()
    check("mail.there" not in names, "it was declared all the same")
    channel(world, lambda c: (c.exchange_declare("mail.there", "topic"),
                              c.queue_declare("there"),
                              c.queue_bind("there", "mail.there", "#")))
    os.kill(world.notifyd.process.pid, signal.SIGHUP)
    same(numbers(take(world, "there", 5, 90)), list(range(5)), "events")


@case("a type that the broker does not know, ports where nobody listens: status says so")
def states(world):
    wait_for("the type is told of", lambda: re.search(
        "503 COMMAND_INVALID.*x-nowhere.*enable the plugin", sink(world, "odd").get("error") or ""))
    same(state(world, "pair"), "connected to 127.0.0.1:%d" % world.rabbit.port, "the second host")
    wait_for("which host is next, when and why", lambda: re.fullmatch(
        r"retrying 127\.0\.0\.1:(\d+) in \d+ s: (127\.0\.0\.1:(?!\1)\d+: )connection refused",
        state(world, "down")), 60)


@case("SASL EXTERNAL: the certificate is the user")
def external(world):
    world.send([event("cert", n) for n in range(5)])
    same(numbers(take(world, "cert", 5)), list(range(5)), "events")
    users = world.rabbit.ctl("-q", "list_connections", "user", "auth_mechanism",
                             "--no-table-headers").splitlines()
    same([u.split() for u in users if "indexer" in u], [["indexer", "EXTERNAL"]], "who it is")
    world.rabbit.ctl("set_permissions", "indexer", "", "", "")
    world.rabbit.ctl("close_all_connections", "permissions were taken away")
    wait_for("status tells what to do", lambda: re.search(
        "403 ACCESS_REFUSED.*give the user the permission", sink(world, "cert").get("error") or ""))


@case("unroutable: dead-letter: those alone, over one connection, nothing twice")
def homeless(world):
    channel(world, lambda c: (c.queue_declare("lost", durable=True),
                              c.queue_bind("lost", "mail.lost", "flags.MessageRead")))
    before = connections(world, "lost")
    dead = sink(world, "lost")["dropped"]
    world.send([event("lost", n, "MessageTrash" if n % 3 == 0 else "MessageRead")
                for n in range(300)])
    want = [n for n in range(300) if n % 3]
    same(numbers(take(world, "lost", len(want))), want, "events with a queue")
    wait_for("200 are delivered, all others are dead letters",
             lambda: (lambda s: s["dropped"] == dead + 100 and s["delivered"] == 200)(
                 sink(world, "lost")))
    same(connections(world, "lost"), before, "connections")
    check(len(before) == 1, "connections: %r" % before)
    empty(world, "lost")


def empty(world, queue):
    same(channel(world, lambda c: c.queue_declare(queue, passive=True)).method.message_count, 0,
         "messages left")


@case("events larger than the broker takes are dead letters, with the size in the reason")
def large(world):
    dead = sink(world, "lost")["dropped"]
    big = [40, 41, 90]
    world.send([event("lost", n, **({"vnd.example.pad": "x" * (LIMIT + n)} if n in big else {}))
                for n in range(120)])
    want = [n for n in range(120) if n not in big]
    got = []
    wait_for("all others come", lambda: got.extend(
        numbers(take(world, "lost", 1, 60))) or set(got) >= set(want), 90, every=0)
    same(list(dict.fromkeys(got)), want, "order")
    print("# %d sent twice" % (len(got) - len(want)))
    wait_for("the large ones are dead letters",
             lambda: sink(world, "lost")["dropped"] == dead + len(big))
    same([x["event"]["vnd.example.n"] for x in world.notifyd.dead("lost")
          if x["reason"].endswith("the broker takes %d" % LIMIT)], big, "dead letters")


@case("bodies that fill their frames to the last byte")
def frames(world):
    world.send([event("lost", 0, **{"vnd.example.pad": ""})])
    bare = len(take(world, "lost", 1)[0][2])
    sizes = [FRAME - 1, FRAME, FRAME + 1, 2 * FRAME - 1, 2 * FRAME, 2 * FRAME + 1]
    world.send([event("lost", 0, **{"vnd.example.pad": "x" * (size - bare)}) for size in sizes])
    same([len(body) for _, _, body in take(world, "lost", len(sizes))], sizes, "bodies")


case.run(setup)
