/* SPDX-License-Identifier: BSD-3-Clause */
#include "../../notifyd/sinks/apns/jwt.h"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW 1700000000

static char keyfile[] = "/tmp/mboxevent-jwt-XXXXXX";
static EVP_PKEY *p256;

static void store(EVP_PKEY *key, const char *pass)
{
	FILE *f = fopen(keyfile, "w");

	assert_non_null(f);
	assert_int_equal(PEM_write_PKCS8PrivateKey(f, key, pass ? EVP_aes_128_cbc() : NULL, pass,
	                                           pass ? (int)strlen(pass) : 0, NULL, NULL),
	                 1);
	fclose(f);
	chmod(keyfile, 0600);
}

static int setup(void **state)
{
	(void)state;
	close(mkstemp(keyfile));
	p256 = EVP_EC_gen("P-256");
	store(p256, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(keyfile);
	EVP_PKEY_free(p256);
	return 0;
}

static struct jwt *opened(void)
{
	struct jwt *j;
	char *why;

	if (jwt_open(&j, keyfile, "ABC123DEFG", "DEF123GHIJ", &why))
		fail_msg("%s", why);
	return j;
}

static int decode(const char *in, size_t len, unsigned char *out)
{
	char padded[512];
	size_t n = len;

	for (size_t i = 0; i < len; i++)
		padded[i] = in[i] == '-' ? '+' : in[i] == '_' ? '/' : in[i];
	while (n % 4)
		padded[n++] = '=';
	return EVP_DecodeBlock(out, (unsigned char *)padded, (int)n) - (int)(n - len);
}

static void a_token_is_what_the_standards_say(void **state)
{
	struct jwt *j = opened();
	const char *token = jwt_bearer(j, NOW);
	unsigned char text[512], der[128], *end = der;

	(void)state;
	assert_memory_equal(token, "bearer ", 7);
	token += 7;
	const char *one = strchr(token, '.'), *two = strchr(one + 1, '.');
	assert_null(strchr(two + 1, '.'));
	assert_null(strpbrk(token, "+/= "));
	text[decode(token, (size_t)(one - token), text)] = '\0';
	assert_string_equal((char *)text, "{\"alg\":\"ES256\",\"kid\":\"ABC123DEFG\"}");
	text[decode(one + 1, (size_t)(two - one - 1), text)] = '\0';
	assert_string_equal((char *)text, "{\"iss\":\"DEF123GHIJ\",\"iat\":1700000000}");
	assert_int_equal(decode(two + 1, strlen(two + 1), text), 64);

	ECDSA_SIG *sig = ECDSA_SIG_new();
	ECDSA_SIG_set0(sig, BN_bin2bn(text, 32, NULL), BN_bin2bn(text + 32, 32, NULL));
	int len = i2d_ECDSA_SIG(sig, &end);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, p256);
	assert_int_equal(EVP_DigestVerify(md, der, (size_t)len, (const unsigned char *)token,
	                                  (size_t)(two - token)),
	                 1);
	EVP_MD_CTX_free(md);
	ECDSA_SIG_free(sig);
	jwt_close(&j);
	assert_null(j);
	jwt_close(&j);
}

/* A number of a signature that is short gets zeros before it: one in 128 is. */
static void signatures_are_always_of_one_length(void **state)
{
	struct jwt *j = opened();

	(void)state;
	for (int64_t t = NOW; t < NOW + 2000 * (int64_t)JWT_RENEW; t += JWT_RENEW)
		assert_int_equal(strlen(strrchr(jwt_bearer(j, t), '.') + 1), 86);
	jwt_close(&j);
}

static void renewed_when_it_is_time(void **state)
{
	struct jwt *j = opened();
	char first[1024];

	(void)state;
	assert_int_equal(jwt_made(j), 0);
	snprintf(first, sizeof(first), "%s", jwt_bearer(j, NOW));
	assert_int_equal(jwt_made(j), NOW);
	assert_string_equal(jwt_bearer(j, NOW + JWT_RENEW - 1), first);
	assert_string_equal(jwt_bearer(j, NOW - 60), first);
	assert_string_not_equal(jwt_bearer(j, NOW + JWT_RENEW), first);
	assert_int_equal(jwt_made(j), NOW + JWT_RENEW);
	/* A clock that was set back: what was made has a time in the future, which is refused. */
	jwt_bearer(j, NOW - 61);
	assert_int_equal(jwt_made(j), NOW - 61);
	jwt_close(&j);
}

static void told_that_it_has_expired(void **state)
{
	struct jwt *j = opened();
	char first[1024];

	(void)state;
	snprintf(first, sizeof(first), "%s", jwt_bearer(j, NOW));
	assert_false(jwt_expired(j, NOW + JWT_RENEW_MIN - 1));
	assert_string_equal(jwt_bearer(j, NOW + JWT_RENEW_MIN - 1), first);
	assert_true(jwt_expired(j, NOW + JWT_RENEW_MIN));
	assert_string_not_equal(jwt_bearer(j, NOW + JWT_RENEW_MIN), first);
	assert_false(jwt_expired(j, NOW + JWT_RENEW_MIN + 5));
	jwt_close(&j);
}

static void refused(const char *file, const char *kid, const char *team, const char *says)
{
	struct jwt *j = (struct jwt *)1;
	char *why = NULL;

	assert_int_equal(jwt_open(&j, file, kid, team, &why), -1);
	assert_null(j);
	assert_non_null(why);
	if (!strstr(why, says))
		fail_msg("\"%s\" does not say \"%s\"", why, says);
	free(why);
}

static void keys_that_cannot_be_used(void **state)
{
	EVP_PKEY *key;
	FILE *f;

	(void)state;
	refused("/nowhere/key.p8", "A", "B", "token_key: /nowhere/key.p8 can't be read");
	refused(keyfile, "", "B", "key_id: must be");
	refused(keyfile, "A", "B\"", "team_id: must be");
	chmod(keyfile, 0604);
	refused(keyfile, "A", "B", "others can read: chmod");
	store(p256, "secret");
	refused(keyfile, "A", "B", "protected by a pass phrase");
	key = EVP_EC_gen("P-384");
	store(key, NULL);
	refused(keyfile, "A", "B", "holds no P-256 key");
	EVP_PKEY_free(key);
	key = EVP_RSA_gen(2048);
	store(key, NULL);
	refused(keyfile, "A", "B", "holds no P-256 key");
	EVP_PKEY_free(key);
	f = fopen(keyfile, "w");
	fputs("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n", f);
	fclose(f);
	refused(keyfile, "A", "B", "is not a private key in PEM form");
	truncate(keyfile, 0);
	refused(keyfile, "A", "B", "is empty");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_token_is_what_the_standards_say),
	    cmocka_unit_test(signatures_are_always_of_one_length),
	    cmocka_unit_test(renewed_when_it_is_time),
	    cmocka_unit_test(told_that_it_has_expired),
	    cmocka_unit_test(keys_that_cannot_be_used),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
