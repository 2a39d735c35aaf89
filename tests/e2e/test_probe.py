#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""notifyctl doctor asks whether sinks reach their far sides: a real RabbitMQ, an APNs server, files
and sockets, each wrong in every way; with notifyd down, and beside one that runs."""

import json
import os
import pwd
import shutil
import socket
import subprocess
import time

import tap
tap.need(rabbitmq_server="/usr/lib/rabbitmq/bin/rabbitmq-server",
         python3_pika="/usr/lib/python3/dist-packages/pika",
         cyrus_imapd="/usr/lib/cyrus/bin/imapd")

import apns
from harness import World
from processes import Failed, wait_for
from proxy import Proxy
from rabbit import Rabbit
from tap import Skip, check, same

case = tap.Cases()

SECRET = "tr0ub4dor-and-3"
OPTIONS = ("type", "url", "path", "password_file", "exchange", "declare", "queue", "timeout",
           "topic", "cafile", "certificate", "key", "push", "group")


def setup():
    world = World("probe", preload=False, conf={"aps_topic": apns.TOPIC})
    try:
        world.rabbit = Rabbit(world.box)
        world.rabbit.begin()
        world.servers = {}
        if os.path.exists(os.path.join(world.build, ".libs", "sink_apns.so")):
            world.servers["apns"] = apns.Apns(world.box, world.build).start()
        world.rabbit.ready()
        world.proxy = Proxy(world.rabbit.port)
    except BaseException:
        world.close()
        raise
    return world


def secret(world, text=SECRET, name="password"):
    path = world.box.at(name)
    with open(path, "w", encoding="ascii") as f:
        f.write(text + "\n")
    os.chmod(path, 0o600)
    world.box.own(path)
    return path


def configure(world, **sinks):
    """Exactly these sinks: a dict of options each."""
    conf = {key: None for key in world.cyrus.conf if key.startswith("notifyd_")}
    conf["notifyd_sinks"] = " ".join(sinks)
    for name, options in sinks.items():
        for option, value in options.items():
            if option not in OPTIONS:
                raise Failed(option)
            conf["notifyd_%s_%s" % (name, option)] = value
    world.cyrus.configure(conf)


def mq(world, **more):
    return {"type": "amqp", "url": "amqp://guest@127.0.0.1:%d/" % world.proxy.port, **more}


def phones(world, **more):
    if "apns" not in world.servers:
        raise Skip("this build has no apns sink")
    a = world.servers["apns"]
    return {"type": "apns", "url": a.url, "cafile": a.cafile,
            "certificate": a.client_certificate, "key": a.client_key, **more}


def findings(world, word="can't be reached", user=None):
    r = world.box.run([world.notifyd.notifyctl, "-C", world.cyrus.imapd_conf, "doctor", "--json"],
                      check=False, user=user)
    if r.returncode not in (0, 78):
        raise Failed("exit %d: %s" % (r.returncode, r.stderr))
    check(SECRET not in r.stdout + r.stderr and "guest:" not in r.stdout, "a secret: " + r.stdout)
    return [f["finding"] for f in json.loads(r.stdout) if word in f["finding"]]


def finds(world, sink, *words):
    """One finding, on this sink, with all these words."""
    got = findings(world)
    same(len(got), 1, "findings: %r" % got)
    check(got[0].startswith("sink %s can't be reached: " % sink), got[0])
    for word in words:
        check(word in got[0], "%r is not in: %s" % (word, got[0]))


def silent(path):
    """One who takes connections and says nothing."""
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(64)
    return s


@case("before notifyd was ever started: all that is well is silent, and nothing is made anywhere")
def before(world):
    sinks = {"mq": mq(world, exchange="never", queue="never"),
             "local": {"type": "unix", "path": world.box.at("run", "events")},
             "fresh": {"type": "unix", "path": world.box.at("run", "new", "events")},
             "audit": {"type": "log", "path": world.box.at("run", "audit")},
             "nobody": {"type": "null"}, "never": {"type": "fail"}}
    if "apns" in world.servers:
        sinks["phones"] = phones(world)
        sinks["quiet"] = {"type": "apns", "push": "yes", **phones(world)}
    configure(world, **sinks)
    os.rename(world.cyrus.journal, world.cyrus.journal + ".away")
    there = sorted(os.listdir(world.box.at("run")))
    connections = world.proxy.accepted
    try:
        same(findings(world), [], "findings")
        check(not os.path.exists(world.cyrus.journal), "the journal's directory was made")
    finally:
        os.rename(world.cyrus.journal + ".away", world.cyrus.journal)
    same(world.proxy.accepted, connections + 1, "connections to the broker")
    check("never" not in world.rabbit.ctl("list_exchanges"), "an exchange was made")
    check("never" not in world.rabbit.ctl("list_queues"), "a queue was made")
    same(sorted(os.listdir(world.box.at("run"))), there, "files")
    if "apns" in world.servers:
        same(world.servers["apns"].requests(), [], "pushes")


@case("RabbitMQ: no broker, a wrong password, no vhost, no exchange, no such host")
def broker(world):
    port = world.box.port()
    configure(world, mq=mq(world, url="amqp://guest@127.0.0.1:%d/" % port))
    finds(world, "mq", "127.0.0.1:%d: connection refused" % port, "see that the broker runs")
    wrong = secret(world)
    configure(world, mq=mq(world, password_file=wrong))
    finds(world, "mq", "ACCESS_REFUSED", "check the user and the password")
    configure(world, mq=mq(world, url="amqp://guest@127.0.0.1:%d/nowhere" % world.proxy.port))
    finds(world, "mq", "nowhere", "make the vhost")
    configure(world, mq=mq(world, exchange="absent", declare="no"))
    finds(world, "mq", "NOT_FOUND", "'absent'", "make it")
    configure(world, mq=mq(world, url="amqp://guest@nowhere.invalid/"))
    # the name server's answer; some give none for long
    got = findings(world)
    check(len(got) == 1 and "nowhere.invalid" in got[0] and (
        "can't be looked up" in got[0] or "takes too long" in got[0]), "%r" % got)
    # what answers is no broker
    if "apns" in world.servers:
        configure(world, mq=mq(world, url="amqp://guest@127.0.0.1:%d/"
                               % world.servers["apns"].port))
        finds(world, "mq", "127.0.0.1:%d" % world.servers["apns"].port)


@case("RabbitMQ: one of several hosts is enough; an exchange of the broker's own with declare: no")
def several(world):
    port = world.box.port()
    configure(world, mq=mq(world, exchange="amq.topic", declare="no",
                           url="amqp://guest@127.0.0.1:%d,127.0.0.1:%d/"
                           % (port, world.proxy.port)))
    same(findings(world), [], "findings")
    # One that says nothing leaves time for the next, whatever the time-out.
    listener = silent(world)
    configure(world, mq=mq(world, timeout="50s", url="amqp://guest@127.0.0.1:%d,127.0.0.1:%d/"
                           % (listener.getsockname()[1], world.proxy.port)))
    same(findings(world), [], "findings")
    listener.close()


@case("a password that root alone may read is not read for notifyd, which may not")
def rights(world):
    if os.geteuid() != 0:
        raise Skip("only root can see that")
    path = secret(world, "guest", "roots")
    os.chown(path, 0, 0)
    configure(world, mq=mq(world, password_file=path))
    finds(world, "mq", "notifyd_mq_password_file", path, "Permission denied", "it must belong to the user of notifyd")
    world.box.own(path)
    same(findings(world), [], "findings")


@case("Apple Push: a dead port, a wrong authority, a certificate that is not taken, no HTTP/2")
def push(world):
    phones(world)
    port = world.box.port()
    configure(world, phones=phones(world, url="https://localhost:%d" % port))
    finds(world, "phones", "localhost", "Connection refused", "check notifyd_phones_url")
    other = apns.Authority(world.box, "others")
    configure(world, phones=phones(world, cafile=other.certificate))
    finds(world, "phones", "the certificate of localhost is refused", "check cafile")
    pem, key = other.client()
    configure(world, phones=phones(world, certificate=pem, key=key))
    for _ in range(10):  # it may hang up before or after our first words
        finds(world, "phones", "does not take our certificate", "check or renew it")
    listener = silent(world)
    configure(world, phones=phones(world, timeout="1s", url="https://localhost:%d"
                                   % listener.getsockname()[1]))
    finds(world, "phones", "no connection to localhost", "in 1 s", "check notifyd_phones_url")
    listener.close()
    configure(world, phones=phones(world))
    same(findings(world), [], "findings")
    same(world.servers["apns"].requests(), [], "pushes")


@case("a log that can't be written, and a socket that can't be made or is taken")
def files(world):
    closed = world.box.at("closed")
    os.mkdir(closed, 0o755)
    if os.geteuid() != 0:
        os.chmod(closed, 0o555)
    log = os.path.join(closed, "log")
    configure(world, audit={"type": "log", "path": log})
    finds(world, "audit", closed, "Permission denied", "let notifyd's user write there")
    configure(world, audit={"type": "log", "path": world.box.at("absent", "log")})
    finds(world, "audit", world.box.at("absent"), "is missing; make it")
    there = world.box.at("run", "there")
    with open(there, "w", encoding="ascii"):
        os.chmod(there, 0o400)
    configure(world, audit={"type": "log", "path": there})
    finds(world, "audit", there, "Permission denied", "let notifyd's user write there")
    configure(world, audit={"type": "log", "path": "syslog:" + world.box.at("run", "nolog")})
    finds(world, "audit", "is a syslog daemon running?")

    configure(world, local={"type": "unix", "path": os.path.join(closed, "s")})
    finds(world, "local", closed, "Permission denied", "must be able to write there")
    configure(world, local={"type": "unix", "path": world.box.at("no", "folder", "s")})
    finds(world, "local", world.box.at("no"), "create it for the user of notifyd")
    path = world.box.at("run", "taken")
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.bind(path)
    s.listen()
    os.chmod(path, 0o666)
    configure(world, local={"type": "unix", "path": path})
    finds(world, "local", path, "somebody listens there", "choose another path")
    s.close()  # stale: it is replaced
    same(findings(world), [], "findings")
    check(os.path.exists(path), "the stale socket is left to notifyd")


@case("ten dead sinks take no longer than one")
def many(world):
    listener = silent(world)
    url = "amqp://guest@127.0.0.1:%d/" % listener.getsockname()[1]
    sinks = {"mq%d" % n: mq(world, url=url) for n in range(9)}
    sinks["patient"] = mq(world, url=url, timeout="50s")
    configure(world, **sinks)
    began = time.monotonic()
    got = findings(world)
    took = time.monotonic() - began
    check(took < 20, "it took %.0f s" % took)
    same(len(got), 10, "findings: %r" % got)
    # the second: of a probe that could not say so itself, on a busy machine
    check(all("no answer in time" in line or "does not answer" in line for line in got),
          "%r" % got)
    listener.close()


@case("beside a notifyd that runs: a sink that is connected is not asked, one that retries is, once")
def running(world):
    port = world.box.port()
    sinks = {"mq": mq(world), "local": {"type": "unix", "path": world.box.at("run", "events")},
             "dead": mq(world, url="amqp://guest@127.0.0.1:%d/" % port)}
    if "apns" in world.servers:  # it has nothing to push, so that it has no connection
        sinks["phones"] = phones(world, url="https://localhost:%d" % port)
    configure(world, **sinks)
    world.notifyd.start()
    state = lambda name: next(s for s in json.loads(world.notifyd.ctl("status", "--json").stdout)[
        "sinks"] if s["name"] == name)["connection"]
    wait_for("mq", lambda: state("mq") == "connected")
    wait_for("dead", lambda: state("dead") == "retrying")
    if "phones" in sinks:
        wait_for("phones", lambda: state("phones") == "connected")
    connections = world.proxy.accepted
    dead = "sink dead does not deliver: retrying"

    def look():  # between two of its tries
        found = findings(world, "sink ")
        return found if any(dead in line for line in found) else None
    got = wait_for(dead, look)
    same(world.proxy.accepted, connections, "connections to the broker")
    same(len([line for line in got if "sink dead" in line]), 1, "%r" % got)
    check(any(dead in line and "see that the broker runs" in line
              for line in got), "%r" % got)
    check(not any("sink mq" in line or "sink local" in line for line in got), "%r" % got)
    if "phones" in sinks:
        check(any(line.startswith("sink phones can't be reached") for line in got), "%r" % got)
    world.notifyd.stop()
    if os.geteuid() == 0:
        owner = pwd.getpwnam(world.box.user).pw_uid
        for top, folders, names in os.walk(world.cyrus.journal):
            for name in folders + names:
                path = os.path.join(top, name)
                same(os.lstat(path).st_uid, owner, "owner of " + path)


@case("a stranger is told that he can't see it, and nothing else of it")
def stranger(world):
    if os.geteuid() != 0:
        raise Skip("only root can become one")
    configure(world, mq=mq(world, password_file=secret(world)))
    command = [shutil.which("setpriv"), "--reuid", "65534", "--regid", "65534", "--clear-groups",
               world.notifyd.notifyctl, "-C", world.cyrus.imapd_conf, "doctor"]
    r = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    check("can't be reached" not in r.stdout and SECRET not in r.stdout, r.stdout)
    configure(world, local={"type": "unix", "path": world.box.at("no", "folder", "s")})
    r = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    check("can't be reached" not in r.stdout, r.stdout)
    check("whether sinks can reach their far sides can't be seen: run this as root" in r.stdout,
          r.stdout)


case.run(setup)
