#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""An unmodified Cyrus without the hook, through the stock notify socket and through dlist."""

import time

import tap
tap.need(cyrus_imapd="/usr/lib/cyrus/bin/imapd", sasl2_bin="/usr/sbin/saslpasswd2")

from cyrus import message, ok
from harness import Stock, World
from processes import wait_for
from tap import check, same
import tour

case = tap.Cases()


def setup():
    world = World("stock", preload=False, conf={"mailnotifier": "log"})
    world.stock = Stock(world.box)
    world.cyrus.configure({"notifyd_forward": world.stock.path})
    world.start()
    world.live = world.subscribe()
    world.durable = world.subscribe("stock")
    return world


@case("datagram: each act of a mail user brings its documented event")
def datagram(world):
    world.walk(world.live)


@case("the same events reach a durable subscription, each with an id of its own")
def durable(world):
    check(len(world.live.events) > 20, "too few events")
    world.durable.count(len(world.live.events))
    same(len(set(world.durable.ids)), len(world.durable.events), "distinct ids")


@case("every line is in the canonical form")
def canonical(world):
    check(len(world.live.raw) > 20, "too few lines")
    for line in world.live.raw:
        wrong = tour.canonical(line)
        check(wrong is None, wrong)


@case("class MAIL goes on to notifyd_forward and becomes no event")
def forward(world):
    world.cyrus.deliver(message("Forwarded"))
    world.live.find("MessageNew", **{"vnd.cmu.midset": ["<forwarded@example.org>"]})
    got = wait_for("the datagram at notifyd_forward",
                   lambda: [d for d in world.stock.got if b"Forwarded" in b"".join(d)])
    same(got[0][:2], [b"log", b"MAIL"], "method and class")
    check(all(d[1] != b"EVENT" for d in world.stock.got), "an EVENT was forwarded")


@case("notifyd stopped and started again takes the socket over")
def restart(world):
    same(world.notifyd.stop(), 0, "notifyd's exit status")
    world.notifyd.start()
    world.live = world.subscribe()
    world.cyrus.deliver(message("After restart"))
    world.live.find("MessageNew", **{"vnd.cmu.midset": ["<after-restart@example.org>"]})


@case("dlist: each act of a mail user brings its documented event")
def dlist(world):
    world.cyrus.stop()
    world.notifyd.stop()
    world.cyrus.configure({"notifysocket": "dlist:" + world.box.at("run", "dlist")})
    world.notifyd.start()
    world.live = world.subscribe()
    world.cyrus.start()
    admin = world.cyrus.admin()
    ok(admin.setacl("user/john@example.org", "cyrus", "lrswipkxtecdan"))
    ok(admin.delete("user/john@example.org"))
    ok(admin.create("user/john@example.org"))
    admin.logout()
    # Cyrus names a deleted folder by the second: the second tour's must not be the first one's.
    time.sleep(1.1)
    world.walk(world.live)


@case("dlist: class MAIL is forwarded too")
def dlist_forward(world):
    world.cyrus.deliver(message("By dlist"))
    wait_for("the datagram at notifyd_forward",
             lambda: [d for d in world.stock.got if b"By dlist" in b"".join(d)])


case.run(setup)
