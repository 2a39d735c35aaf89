/* SPDX-License-Identifier: BSD-3-Clause */
/* What is wrong with the options of an amqp sink is told with file and line, before anything
 * connects; certificates and keys are the test's own. */
#include "../../notifyd/settings.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define DAY 86400

static char dir[] = "/tmp/test_amqp_target.XXXXXX";
static struct buf errors;

static const char *at(const char *name)
{
	static char paths[4][128];
	static unsigned turn;
	char *p = paths[turn++ % 4];
	snprintf(p, sizeof paths[0], "%s/%s", dir, name);
	return p;
}

static void collect(void *ctx, const char *line)
{
	buf_addf(ctx, "%s\n", line);
}

/* lines, @ standing for the scratch directory. What settings_load() says of it, "" when it is good;
 * the file's own path left out. */
static const char *says(const char *lines)
{
	struct settings *s;
	const char *conf = at("imapd.conf");
	FILE *f = fopen(conf, "w");
	assert_non_null(f);
	fputs("notifyd_sinks: mq\nnotifyd_mq_type: amqp\n", f);
	for (; *lines; lines++)
		*lines == '@' && lines[1] == '/' ? fputs(dir, f) : fputc(*lines, f);
	fputc('\n', f);
	fclose(f);
	buf_reset(&errors);
	settings_load(&s, conf, collect, &errors);
	settings_free(&s);
	const char *all = buf_cstr(&errors);
	return strncmp(all, conf, strlen(conf)) ? all : all + strlen(conf);
}

static void is(const char *lines, const char *want)
{
	const char *got = says(lines);
	if (*want ? !strstr(got, want) : *got)
		fail_msg("%s\n  says  %s\n  not   %s", lines, got, *want ? want : "nothing");
}

/* --- certificates --- */

static EVP_PKEY *make_key(const char *name, const char *pass)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	FILE *f = fopen(at(name), "w");
	assert_non_null(key);
	assert_non_null(f);
	assert_int_equal(PEM_write_PrivateKey(f, key, pass ? EVP_aes_128_cbc() : NULL,
	                                      (const unsigned char *)pass,
	                                      pass ? (int)strlen(pass) : 0, NULL, NULL),
	                 1);
	fclose(f);
	chmod(at(name), 0600);
	return key;
}

static void make_certificate(const char *name, EVP_PKEY *key, long from, long to)
{
	X509 *x = X509_new();
	FILE *f = fopen(at(name), "w");
	assert_non_null(x);
	assert_non_null(f);
	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), from);
	X509_gmtime_adj(X509_getm_notAfter(x), to);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
	                           (const unsigned char *)"mail", -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(x));
	X509_set_pubkey(x, key);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_X509(f, x), 1);
	fclose(f);
	X509_free(x);
}

static void put(const char *name, const char *text, mode_t mode)
{
	FILE *f = fopen(at(name), "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	chmod(at(name), mode);
}

static int begin(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	EVP_PKEY *key = make_key("key.pem", NULL);
	make_certificate("good.pem", key, -DAY, DAY);
	make_certificate("expired.pem", key, -2 * DAY, -DAY);
	make_certificate("early.pem", key, DAY, 2 * DAY);
	EVP_PKEY_free(key);
	EVP_PKEY_free(make_key("other.pem", NULL));
	EVP_PKEY_free(make_key("protected.pem", "secret"));
	EVP_PKEY_free(make_key("open.pem", NULL));
	chmod(at("open.pem"), 0644);
	put("noise.pem", "no certificate, no key\n", 0600);
	put("password", "secret\n", 0600);
	return 0;
}

static int finish(void **state)
{
	static const char *const names[] = {
	    "key.pem",       "good.pem", "expired.pem", "early.pem", "other.pem",
	    "protected.pem", "open.pem", "noise.pem",   "password",  "imapd.conf"};
	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		unlink(at(names[i]));
	buf_free(&errors);
	return rmdir(dir);
}

/* --- the tests --- */

#define TLS "notifyd_mq_url: amqps://mq1.example.org\n"

static void good(void **state)
{
	(void)state;
	is("", "");
	is("notifyd_mq_exchange_type: x-consistent-hash\nnotifyd_mq_queue: q\n"
	   "notifyd_mq_bindings: 1\nnotifyd_mq_exchange_arguments: hash-header=user\n",
	   "");
	is("notifyd_mq_routing_key: mail.%s.%d.%l.%g.%e\n", "");
	is("notifyd_mq_queue: q\nnotifyd_mq_exchange_type: direct\n"
	   "notifyd_mq_bindings: message.MessageNew message.MessageAppend\n",
	   "");
	is("notifyd_mq_queue: q\nnotifyd_mq_queue_type: stream\n"
	   "notifyd_mq_queue_arguments: x-max-age=7D x-stream-max-segment-size-bytes=100000000\n",
	   "");
	is("notifyd_mq_queue: q\nnotifyd_mq_declare: no\n", "");
	is("notifyd_mq_alternate_exchange: mail.rest\nnotifyd_mq_unroutable: dead-letter\n", "");
	is(TLS "notifyd_mq_cafile: @/good.pem\nnotifyd_mq_certificate: @/good.pem\n"
	       "notifyd_mq_key: @/key.pem\nnotifyd_mq_sasl: external\n",
	   "");
	is("notifyd_mq_url: amqps://mail@mq1.example.org\nnotifyd_mq_password_file: @/password\n",
	   "");
}

static void topology(void **state)
{
	static const struct {
		const char *lines, *error;
	} cases[] = {
	    {"notifyd_mq_routing_key: %g.%x\n", ":3: notifyd_mq_routing_key: '%x': must be %g"},
	    {"\n\nnotifyd_mq_routing_key: %\n", ":5: notifyd_mq_routing_key: '%': must be %g"},
	    {"notifyd_mq_queue: q\nnotifyd_mq_exchange_type: direct\n",
	     ":3: notifyd_mq_queue: a direct exchange has no binding for every event"},
	    {"notifyd_mq_queue: q\nnotifyd_mq_exchange_type: headers\nnotifyd_mq_bindings: a\n",
	     ":5: notifyd_mq_bindings: a headers exchange looks at headers"},
	    {"notifyd_mq_bindings: a\n", ":3: notifyd_mq_bindings: has no use without a queue"},
	    {"notifyd_mq_queue_type: classic\n",
	     ":3: notifyd_mq_queue_type: has no use without a queue"},
	    {"notifyd_mq_queue: q\nnotifyd_mq_declare: no\nnotifyd_mq_queue_arguments: a=1\n",
	     ":5: notifyd_mq_queue_arguments: has no use with declare: no"},
	    {"notifyd_mq_declare: no\nnotifyd_mq_alternate_exchange: a\n",
	     ":4: notifyd_mq_alternate_exchange: has no use with declare: no"},
	    {"notifyd_mq_declare: no\nnotifyd_mq_exchange_arguments: a=1\n",
	     ":4: notifyd_mq_exchange_arguments: has no use with declare: no"},
	    {"notifyd_mq_exchange_arguments: alternate-exchange=a\n"
	     "notifyd_mq_alternate_exchange: a\n",
	     ":4: notifyd_mq_alternate_exchange: stands in exchange_arguments too"},
	    {"notifyd_mq_queue: q\nnotifyd_mq_queue_arguments: x-max-length\n",
	     ":4: notifyd_mq_queue_arguments: 'x-max-length': an argument is written name=value"},
	    {"notifyd_mq_queue: q\nnotifyd_mq_queue_arguments: x-queue-type=quorum\n",
	     ":4: notifyd_mq_queue_arguments: the type is told by notifyd_mq_queue_type"},
	    {"notifyd_mq_exchange_type: headers\nnotifyd_mq_properties: id\n",
	     ":4: notifyd_mq_properties: a headers exchange needs the headers"},
	    {"notifyd_mq_unroutable: maybe\n", ":3: notifyd_mq_unroutable: 'maybe': must be"},
	    {"notifyd_mq_sasl: gssapi\n", ":3: notifyd_mq_sasl: 'gssapi': must be"},
	};
	char lines[600], name[257];
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		is(cases[i].lines, cases[i].error);
	memset(name, 'n', 256);
	name[256] = '\0';
	snprintf(lines, sizeof lines, "notifyd_mq_exchange: %s\n", name);
	is(lines, ":3: notifyd_mq_exchange: a name has at most 255 bytes");
	snprintf(lines, sizeof lines, "notifyd_mq_queue: q\nnotifyd_mq_bindings: a %s\n", name);
	is(lines, ":4: notifyd_mq_bindings: 'nnnn");
}

static void certificates(void **state)
{
	static const struct {
		const char *lines, *error;
	} cases[] = {
	    {TLS "notifyd_mq_cafile: @/nowhere.pem\n", ":4: notifyd_mq_cafile: /"},
	    {TLS "notifyd_mq_cafile: @/noise.pem\n", "must be readable and hold certificates"},
	    {TLS "notifyd_mq_certificate: @/good.pem\n",
	     ":4: notifyd_mq_certificate: certificate and key must be set together"},
	    {TLS "notifyd_mq_key: @/key.pem\n",
	     ":4: notifyd_mq_key: certificate and key must be set together"},
	    {TLS "notifyd_mq_key: @/key.pem\nnotifyd_mq_certificate: @/expired.pem\n",
	     ":5: notifyd_mq_certificate: /"},
	    {TLS "notifyd_mq_key: @/key.pem\nnotifyd_mq_certificate: @/expired.pem\n",
	     "expired.pem has expired: renew it"},
	    {TLS "notifyd_mq_key: @/key.pem\nnotifyd_mq_certificate: @/early.pem\n",
	     "early.pem is not valid yet: check the clock"},
	    {TLS "notifyd_mq_key: @/key.pem\nnotifyd_mq_certificate: @/noise.pem\n",
	     "it must be readable and in PEM form"},
	    {TLS "notifyd_mq_certificate: @/good.pem\nnotifyd_mq_key: @/other.pem\n",
	     "other.pem does not belong to the certificate"},
	    {TLS "notifyd_mq_certificate: @/good.pem\nnotifyd_mq_key: @/protected.pem\n",
	     ":5: notifyd_mq_key: /"},
	    {TLS "notifyd_mq_certificate: @/good.pem\nnotifyd_mq_key: @/protected.pem\n",
	     "protected.pem is protected by a pass phrase: store it without"},
	    {TLS "notifyd_mq_certificate: @/good.pem\nnotifyd_mq_key: @/open.pem\n",
	     "holds a secret that others can read"},
	    {TLS "notifyd_mq_certificate: @/good.pem\nnotifyd_mq_key: @/nowhere.pem\n",
	     ":5: notifyd_mq_key: "},
	    {TLS "notifyd_mq_certificate: @/good.pem\nnotifyd_mq_key: @/noise.pem\n",
	     "noise.pem is not a private key in PEM form"},
	    {"notifyd_mq_cafile: @/good.pem\n",
	     ":3: notifyd_mq_cafile: this is for amqps:// and the URL is amqp://"},
	    {"notifyd_mq_sasl: external\n",
	     ":3: notifyd_mq_sasl: external is for amqps:// and the URL is amqp://"},
	    {TLS "notifyd_mq_sasl: external\n",
	     ":4: notifyd_mq_sasl: external needs notifyd_mq_certificate and notifyd_mq_key"},
	    {TLS "notifyd_mq_sasl: external\nnotifyd_mq_password_file: @/password\n",
	     ":5: notifyd_mq_password_file: sasl is external, which takes no password"},
	    {"notifyd_mq_url: amqps://mail:secret@mq1.example.org\nnotifyd_mq_sasl: external\n",
	     ":3: notifyd_mq_url: sasl is external, which takes no password"},
	    {"notifyd_mq_url: amqps://mail@mq1.example.org\n",
	     ":3: notifyd_mq_url: user mail needs a password"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		is(cases[i].lines, cases[i].error);
		assert_null(strstr(buf_cstr(&errors), "secret@"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(good),
	    cmocka_unit_test(topology),
	    cmocka_unit_test(certificates),
	};
	return cmocka_run_group_tests(tests, begin, finish);
}
