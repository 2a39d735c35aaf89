#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The matrix (matrix.py prints it as a table), two configurations at a time."""

import concurrent.futures
import multiprocessing

import tap
tap.need(cyrus_imapd="/usr/lib/cyrus/bin/imapd", cyrus_caldav="/usr/lib/cyrus/bin/httpd",
         sasl2_bin="/usr/sbin/saslpasswd2")

import commands
import matrix
from processes import Failed

case = tap.Cases()


class Runs:
    """All configurations, started at once; a case waits for its own."""

    def __init__(self):
        self.pool = concurrent.futures.ProcessPoolExecutor(
            2, multiprocessing.get_context("fork"), matrix.orphan)
        self.runs = {t: self.pool.submit(matrix.configuration, t) for t in matrix.titles()}

    def results(self, title):
        return self.runs[title].result()

    def logs(self):
        return []

    def close(self):
        self.pool.shutdown(cancel_futures=True)


def command(title):
    def check(runs):
        results = runs.results(matrix.MAIN)
        found = [r for r in results if r.title == title] or results  # or why there are none
        bad = [text for r in found for text in r.bad]
        if bad or found is results:
            raise Failed("\n".join(bad))
    return check


def configuration(title):
    def check(runs):
        bad = ["%s: %s" % (r.title, text) for r in runs.results(title) for text in r.bad]
        if bad:
            raise Failed("\n".join(bad))
    return check


for row in commands.main_rows():
    case(row.title)(command(row.title))
for title in (matrix.FILTERS, matrix.VALID):
    case(title)(command(title))
for title in matrix.titles()[1:]:
    case("names: " + title)(configuration(title))

case.run(Runs)
