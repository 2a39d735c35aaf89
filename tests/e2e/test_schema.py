#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The JSON Schema as somebody else's validator understands it: examples pass, faults are found."""

import copy
import glob
import json
import os

import tap
from tap import Cases, check, same

try:
    from jsonschema import Draft202012Validator
except ImportError:
    tap.skip_all("jsonschema is missing (package python3-jsonschema): run contrib/deps test")

DATA = os.path.join(tap.top("TOP_SRCDIR"), "tests", "data")
SCHEMA = os.path.join(tap.top("TOP_SRCDIR"), "lib", "mboxevent-events.schema.json")
case = Cases()


class World:
    def __init__(self):
        with open(SCHEMA, encoding="ascii") as f:
            self.schema = json.load(f)
        self.validator = Draft202012Validator(self.schema)

    def faults(self, event):
        return ["%s: %s" % ("/".join(map(str, e.absolute_path)), e.message)
                for e in self.validator.iter_errors(event)]

    def close(self):
        pass

    @staticmethod
    def logs():
        return []


def lines(name):
    with open(os.path.join(DATA, name), encoding="utf-8") as f:
        return f.read().splitlines()


@case("it is a JSON Schema of 2020-12")
def _(w):
    same(w.schema["$schema"], "https://json-schema.org/draft/2020-12/schema")
    Draft202012Validator.check_schema(w.schema)


@case("the documented examples are valid, the one with placeholders is not")
def _(w):
    examples = [json.loads(line) for line in lines("documented-events.jsonl")]
    same(len(examples), 22)
    for example in examples[:21]:
        same(w.faults(example), [], example["event"])
    same(len(w.faults(examples[21])), 2)


@case("what the events of real servers become is valid")
def _(w):
    files = glob.glob(os.path.join(DATA, "cyrus-*-documented.jsonl")) + \
        glob.glob(os.path.join(DATA, "cyrus-*-more", "*", "expected"))
    check(len(files) > 2, files)
    for name in files:
        events = [line for line in lines(name) if line != "DROP"]
        check(events, name)
        for line in events:
            same(w.faults(json.loads(line)), [], line)


@case("what the server itself wrote is not")
def _(w):
    for line in lines("cyrus-3.6.1-native.jsonl"):
        event = json.loads(line)
        if "/user/" in event.get("uri", ""):
            check(w.faults(event), line)


@case("each of the faults is found that a schema can find, and no other")
def _(w):
    kinds = {}
    for line in lines("invalid-events"):
        kind, what, text = line.split("\t")
        kinds[kind] = kinds.get(kind, 0) + 1
        if what == "column":
            continue
        found = w.faults(json.loads(text))
        same(bool(found), kind == "schema", what)
    check(kinds["schema"] > 50 and kinds["exact"] > 3, kinds)


@case("members that nobody knows are allowed")
def _(w):
    for line in lines("documented-events.jsonl")[:21]:
        event = copy.deepcopy(json.loads(line))
        event["vnd.example.new"] = {"a": [None]}
        same(w.faults(event), [], event["event"])


case.run(World)
