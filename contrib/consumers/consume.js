#!/usr/bin/env node
// SPDX-License-Identifier: BSD-3-Clause
// Consumes mail events from RabbitMQ and writes each exactly once, as a line {"id":...,"event":...},
// to a file. A small program to copy. Needs amqplib (npm install amqplib).
//
// The file is also the memory of what was seen: the id goes to disk in the same write as the event,
// and only then is the message acknowledged. At the start the ids are read from the file, and a last
// line that a crash cut off is taken away. So a message that comes again is known and dropped.
'use strict';

const fs = require('fs');
const path = require('path');
const readline = require('readline');
const { parseArgs } = require('util');

const HELP = `usage: consume.js [OPTION...]
Consumes mail events from RabbitMQ and appends each exactly once to a file, as
lines {"id":ID,"event":EVENT}. Ends on SIGTERM; comes back after every failure
of the connection.
  --url URL        broker, amqp:// or amqps:// ($AMQP_URL, which unlike this option
                   hides a password from others, else the guest on this machine)
  --exchange NAME  mail.events
  --queue NAME     durable queue (archive)
  --type TYPE      of the queue: quorum (the default) or classic
  --key KEY        routing key to bind, such as message.MessageNew or flags.*;
                   several times for several (#, which is every event)
  --prefetch N     messages under way (200)
  --out FILE       where the events go; the last ids in it must stay, as many as
                   may come again (events.jsonl)
  --keep N         ids remembered (100000)
`;
const WAIT_MS = 20; // for more messages, so that many share one fdatasync
const PAUSE_MS = { least: 500, most: 30000 };

function options() {
  const text = (value) => ({ type: 'string', default: value });
  try {
    return parseArgs({ options: {
      url: text(process.env.AMQP_URL || 'amqp://guest:guest@localhost/'), exchange: text('mail.events'),
      queue: text('archive'), type: text('quorum'), prefetch: text('200'),
      out: text('events.jsonl'), keep: text('100000'),
      key: { type: 'string', multiple: true, default: ['#'] },
      help: { type: 'boolean', short: 'h' },
    } }).values;
  } catch (e) {
    process.stderr.write(`consume: ${e.message}\n${HELP}`);
    return process.exit(64);
  }
}

// The file, and the ids of its last events.
class Store {
  static async open(file, keep) {
    const store = new Store();
    store.keep = keep;
    store.seen = new Set();
    store.lines = [];
    store.fd = fs.openSync(file, 'a+', 0o600);
    store.mend();
    store.sync(path.dirname(file));
    const input = fs.createReadStream(file);
    for await (const line of readline.createInterface({ input, crlfDelay: Infinity })) {
      store.remember(JSON.parse(line).id);
    }
    return store;
  }

  // A crash in the middle of a write leaves a piece of a line.
  mend() {
    const piece = Buffer.alloc(1 << 16);
    const size = fs.fstatSync(this.fd).size;
    let end = size;
    while (end > 0) {
      const from = Math.max(0, end - piece.length);
      const n = fs.readSync(this.fd, piece, 0, end - from, from);
      const at = piece.lastIndexOf(0x0a, n - 1);
      if (at >= 0) {
        end = from + at + 1;
        break;
      }
      end = from;
    }
    if (end < size) fs.ftruncateSync(this.fd, end);
  }

  // What this program wrote as it was killed, and the file's name, may not be on disk. It is seen all
  // the same, and what is seen is acknowledged.
  sync(folder) {
    fs.fsyncSync(this.fd);
    const fd = fs.openSync(folder, 'r');
    fs.fsyncSync(fd);
    fs.closeSync(fd);
  }

  remember(id) {
    this.seen.add(id);
    if (this.seen.size > this.keep) this.seen.delete(this.seen.values().next().value);
  }

  add(id, event) {
    if (this.seen.has(id)) return;
    this.remember(id);
    this.lines.push(`${JSON.stringify({ id, event })}\n`);
  }

  // All that was added is on disk when it returns. Where that fails it does not return: half a line
  // must not be gone on behind, nor what was not synced be seen by the next run.
  commit() {
    const data = Buffer.from(this.lines.join(''));
    const { size } = fs.fstatSync(this.fd);
    try {
      for (let n = 0; n < data.length;) n += fs.writeSync(this.fd, data, n);
      if (data.length) fs.fdatasyncSync(this.fd);
    } catch (e) {
      fs.ftruncateSync(this.fd, size);
      process.stderr.write(`consume: ${e.message}: nothing of this is acknowledged\n`);
      process.exit(74);
    }
    this.lines = [];
  }
}

function take(store, message) {
  let event;
  try {
    event = JSON.parse(message.content.toString());
  } catch {
    event = null;
  }
  if (message.properties.messageId && event && event.event) {
    store.add(message.properties.messageId, event);
  } else {
    process.stderr.write('consume: a message that is no mail event is dropped\n');
  }
}

// Until the connection breaks, which is how the promise is rejected, or stop() is called.
async function consume(amqp, opt, store, onStop) {
  const connection = await amqp.connect(opt.url, { timeout: 10000 });
  return new Promise((resolve, reject) => {
    let last = null;
    let waiting = 0;
    let timer = null;
    const broken = (e) => {
      clearTimeout(timer);
      last = null;
      reject(e || new Error('the connection was closed'));
      connection.close().catch(() => {});
    };
    connection.on('error', broken);
    connection.on('close', broken);
    (async () => {
      const channel = await connection.createChannel();
      channel.on('error', broken);
      const flush = () => {
        clearTimeout(timer);
        timer = null;
        if (!last) return;
        store.commit();
        channel.ack(last, true);
        last = null;
        waiting = 0;
      };
      // The queue is the consumer's own: it keeps what comes while this program is away.
      await channel.assertExchange(opt.exchange, 'topic', { durable: true });
      await channel.assertQueue(opt.queue,
        { durable: true, arguments: { 'x-queue-type': opt.type } });
      for (const key of opt.key) await channel.bindQueue(opt.queue, opt.exchange, key);
      await channel.prefetch(Number(opt.prefetch));
      await channel.consume(opt.queue, (message) => {
        if (!message) {
          broken(new Error('the queue was deleted'));
          return;
        }
        take(store, message);
        last = message;
        waiting += 1;
        if (waiting >= Number(opt.prefetch) / 2) flush();
        else if (!timer) timer = setTimeout(flush, WAIT_MS);
      });
      onStop(() => {
        flush();
        connection.removeListener('close', broken);
        connection.close().then(resolve, resolve);
      });
    })().catch(broken);
  });
}

async function main() {
  const opt = options();
  if (opt.help) {
    process.stdout.write(HELP);
    return;
  }
  const amqp = require('amqplib');
  const store = await Store.open(opt.out, Number(opt.keep));
  let stopping = false;
  let stop = () => {};
  let wake = () => {};
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.on(signal, () => {
      stopping = true;
      stop();
      wake();
    });
  }
  let pause = PAUSE_MS.least;
  while (!stopping) {
    const begun = Date.now();
    try {
      await consume(amqp, opt, store, (fn) => {
        stop = fn;
        if (stopping) stop();
      });
    } catch (e) {
      stop = () => {};
      store.commit(); // what was added is seen: it is written, though not acknowledged
      pause = Date.now() - begun > 60000 ? PAUSE_MS.least : Math.min(pause * 2, PAUSE_MS.most);
      process.stderr.write(`consume: ${e.message || e.code}: again in ${pause / 1000} s\n`);
      if (!stopping) {
        await new Promise((resolve) => {
          wake = resolve;
          setTimeout(resolve, pause);
        });
      }
    }
  }
}

main().catch((e) => {
  process.stderr.write(`consume: ${e.message}\n`);
  process.exit(1);
});
