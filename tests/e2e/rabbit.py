# SPDX-License-Identifier: BSD-3-Clause
"""A private RabbitMQ node on the loopback: own ports, name, folders, cookie and epmd."""

import os
import pwd
import secrets
import signal
import time

import pika

from processes import Failed, wait_for

BIN = "/usr/lib/rabbitmq/bin"
EPMD = "/usr/bin/epmd"


class Rabbit:
    def __init__(self, box, name="mboxevent"):
        self.box = box
        self.user = "rabbitmq" if os.geteuid() == 0 else None
        self.dir = box.at("rabbit")
        os.makedirs(self.dir, mode=0o755)
        for sub in ("mnesia", "log", "home"):
            os.makedirs(os.path.join(self.dir, sub))
        with open(os.path.join(self.dir, "home", ".erlang.cookie"), "w", encoding="ascii") as f:
            f.write(secrets.token_hex(16))
        os.chmod(f.name, 0o400)
        self.port, dist, self.epmd_port = box.port(), box.port(), box.port()
        self.node = "%s-%d@localhost" % (name, self.port)
        with open(os.path.join(self.dir, "rabbitmq.conf"), "w", encoding="ascii") as f:
            f.write("listeners.tcp.1 = 127.0.0.1:%d\n"
                    "disk_free_limit.absolute = 50MB\n"
                    "log.file.level = warning\n" % self.port)
        for name in ("plugins", "env"):
            with open(os.path.join(self.dir, name), "w", encoding="ascii") as f:
                f.write("[].\n" if name == "plugins" else "")
        if self.user:
            who = pwd.getpwnam(self.user)
            for top, folders, files in os.walk(self.dir):
                for one in [top] + [os.path.join(top, x) for x in folders + files]:
                    os.chown(one, who.pw_uid, who.pw_gid)
        self.env = {
            "HOME": os.path.join(self.dir, "home"),
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(dist),
            "RABBITMQ_CONF_ENV_FILE": os.path.join(self.dir, "env"),
            "RABBITMQ_CONFIG_FILE": os.path.join(self.dir, "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": os.path.join(self.dir, "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": os.path.join(self.dir, "plugins"),
            "RABBITMQ_MNESIA_BASE": os.path.join(self.dir, "mnesia"),
            "RABBITMQ_LOG_BASE": os.path.join(self.dir, "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": os.path.join(self.dir, "pid"),
            # The node listens for others on the loopback alone, and starts no epmd of its own.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false +S 2:2",
        }
        self.epmd = self.server = None

    def begin(self):
        """Starts it without waiting: it takes seconds, in which others can start."""
        self.epmd = self.box.start("epmd", [EPMD, "-port", str(self.epmd_port), "-address",
                                            "127.0.0.1"], user=self.user)
        self.server = self.box.start("rabbitmq", [BIN + "/rabbitmq-server"], env=self.env,
                                     user=self.user)

    def ready(self, timeout=90):
        wait_for("RabbitMQ answers on port %d" % self.port, self._up, timeout, every=0.2)

    def _up(self):
        if self.server.poll() is not None:
            raise Failed("RabbitMQ ended with status %d" % self.server.returncode)
        try:
            self.connect().close()
            return True
        except (pika.exceptions.AMQPError, OSError):
            return False

    def start(self):
        self.begin()
        self.ready()

    def connect(self):
        return pika.BlockingConnection(pika.ConnectionParameters(
            "127.0.0.1", self.port, connection_attempts=1, socket_timeout=5,
            blocked_connection_timeout=30))

    def url(self, user="guest"):
        return "amqp://%s@127.0.0.1:%d/" % (user, self.port)

    def ctl(self, *args, timeout=60):
        return self.box.run([BIN + "/rabbitmqctl", "-n", self.node] + list(args), timeout=timeout,
                            user=self.user, env=self.env).stdout

    def stop(self, sig=signal.SIGTERM):
        for p in (self.server, self.epmd):
            if p:
                self.box.stop(p, sig, timeout=30)
        self.server = self.epmd = None

    def queue(self, name, timeout=60):
        """Waits until a queue is there."""
        def there():
            connection = self.connect()
            try:
                return connection.channel().queue_declare(name, passive=True)
            except pika.exceptions.ChannelClosedByBroker:
                return None
            finally:
                connection.close()
        wait_for("queue %s is declared" % name, there, timeout, every=0.1)

    def settled(self, name, timeout=30):
        """Waits until a quorum queue outlives a kill -9: Ra writes its name to a table on disk about
        a second after it was declared, and a node killed before that never finds the queue again."""
        base = os.path.join(self.dir, "mnesia")

        def written():
            for top, _, files in os.walk(base):
                if "names.dets" in files:
                    with open(os.path.join(top, "names.dets"), "rb") as f:
                        if name.encode() in f.read():
                            return True
            return False
        wait_for("quorum queue %s is on the broker's disk" % name, written, timeout, every=0.1)

    def collect(self, queue, expected, timeout=60):
        """Consumes the queue until `expected` says so or time is up: expected(messages) -> bool.
        The messages, as (properties, body), acknowledged."""
        got = []
        connection = self.connect()
        channel = connection.channel()
        channel.basic_qos(prefetch_count=500)

        def take(ch, method, properties, body):
            got.append((properties, body))
            ch.basic_ack(method.delivery_tag)

        channel.basic_consume(queue, take)
        end = time.monotonic() + timeout
        while time.monotonic() < end and not expected(got):
            connection.process_data_events(0.2)
        connection.close()
        return got
