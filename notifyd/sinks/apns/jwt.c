/* SPDX-License-Identifier: BSD-3-Clause */
#include "jwt.h"

#include "../../../lib/buf.h"
#include "../../secret.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_MAX     64
#define CLOCK_SKEW 60
#define HALF       32 /* bytes of each number of a P-256 signature */

struct jwt {
	EVP_PKEY *key;
	char key_id[ID_MAX + 1], team_id[ID_MAX + 1];
	int64_t made;
	char bearer[768]; /* "" before the first */
};

/* The default would prompt on the terminal of a daemon. */
static int no_pass(char *buf, int size, int writing, void *asked)
{
	(void)buf;
	(void)size;
	(void)writing;
	*(bool *)asked = true;
	return -1;
}

static int wrong(char **why_r, const char *keyfile, const char *what)
{
	ERR_clear_error();
	if (asprintf(why_r, "token_key: %s %s", keyfile, what) < 0)
		*why_r = NULL;
	return -1;
}

static int read_key(struct jwt *j, const char *keyfile, char **why_r)
{
	struct buf pem = BUF_INIT;
	bool asked = false;
	char curve[32], *why;
	size_t len;

	if (secret_read(keyfile, &pem, &why)) {
		if (asprintf(why_r, "token_key: %s", why ? why : "memory is short") < 0)
			*why_r = NULL;
		free(why);
		return -1;
	}
	BIO *bio = BIO_new_mem_buf(pem.s, (int)pem.len);
	if (bio)
		j->key = PEM_read_bio_PrivateKey(bio, NULL, no_pass, &asked);
	BIO_free(bio);
	secret_forget(&pem);
	if (!j->key && asked)
		return wrong(why_r, keyfile,
		             "is protected by a pass phrase: store it without (openssl pkey), "
		             "readable by notifyd alone");
	if (!j->key)
		return wrong(why_r, keyfile,
		             "is not a private key in PEM form: it must be the .p8 file that Apple "
		             "gave out");
	if (!EVP_PKEY_is_a(j->key, "EC") ||
	    EVP_PKEY_get_group_name(j->key, curve, sizeof(curve), &len) != 1 ||
	    strcmp(curve, "prime256v1") != 0)
		return wrong(why_r, keyfile,
		             "holds no P-256 key, which ES256 needs: it must be the .p8 file that "
		             "Apple gave out");
	return 0;
}

static bool is_id(const char *s)
{
	size_t len = strlen(s);

	return len && len <= ID_MAX &&
	       strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") == len;
}

int jwt_open(struct jwt **j_r, const char *keyfile, const char *key_id, const char *team_id,
             char **why_r)
{
	struct jwt *j;

	*j_r = NULL;
	*why_r = NULL;
	if (!is_id(key_id) || !is_id(team_id)) {
		if (asprintf(why_r, "%s: must be the letters and digits that Apple gave out",
		             is_id(key_id) ? "team_id" : "key_id") < 0)
			*why_r = NULL;
		return -1;
	}
	j = calloc(1, sizeof(*j));
	if (!j)
		return wrong(why_r, keyfile, "can't be kept: memory is short");
	snprintf(j->key_id, sizeof(j->key_id), "%s", key_id);
	snprintf(j->team_id, sizeof(j->team_id), "%s", team_id);
	if (read_key(j, keyfile, why_r)) {
		jwt_close(&j);
		return -1;
	}
	*j_r = j;
	return 0;
}

void jwt_close(struct jwt **j)
{
	if (!*j)
		return;
	EVP_PKEY_free((*j)->key);
	explicit_bzero(*j, sizeof(**j));
	free(*j);
	*j = NULL;
}

/* RFC 4648 section 5, without padding. to has room for 4/3 and 4 more. */
static size_t base64url(const void *from, size_t len, char *to)
{
	int n = EVP_EncodeBlock((unsigned char *)to, from, (int)len);

	while (n > 0 && to[n - 1] == '=')
		n--;
	to[n] = '\0';
	for (char *p = to; *p; p++)
		*p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
	return (size_t)n;
}

/* The two numbers of a signature beside each other, as JWS has them; OpenSSL has DER. */
static bool sign(EVP_PKEY *key, const char *text, size_t len, unsigned char *raw)
{
	unsigned char der[96];
	const unsigned char *at = der;
	size_t n = sizeof(der);
	ECDSA_SIG *pair = NULL;
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	if (md && EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key) == 1 &&
	    EVP_DigestSign(md, der, &n, (const unsigned char *)text, len) == 1)
		pair = d2i_ECDSA_SIG(NULL, &at, (long)n);
	bool ok = pair && BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw, HALF) == HALF &&
	          BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw + HALF, HALF) == HALF;
	ECDSA_SIG_free(pair);
	EVP_MD_CTX_free(md);
	ERR_clear_error();
	return ok;
}

static bool make(struct jwt *j, int64_t now)
{
	char part[2 * ID_MAX + 64], *token = j->bearer + strlen("bearer ");
	unsigned char raw[2 * HALF];

	memcpy(j->bearer, "bearer ", strlen("bearer "));
	int n = snprintf(part, sizeof(part), "{\"alg\":\"ES256\",\"kid\":\"%s\"}", j->key_id);
	size_t len = base64url(part, (size_t)n, token);
	token[len++] = '.';
	n = snprintf(part, sizeof(part), "{\"iss\":\"%s\",\"iat\":%lld}", j->team_id,
	             (long long)now);
	len += base64url(part, (size_t)n, token + len);
	if (!sign(j->key, token, len, raw)) {
		j->bearer[0] = '\0';
		return false;
	}
	token[len++] = '.';
	base64url(raw, sizeof(raw), token + len);
	j->made = now;
	return true;
}

const char *jwt_bearer(struct jwt *j, int64_t now)
{
	int64_t age = now - j->made;

	if ((!j->bearer[0] || age >= JWT_RENEW || age < -CLOCK_SKEW) && !make(j, now))
		return NULL;
	return j->bearer;
}

bool jwt_expired(struct jwt *j, int64_t now)
{
	if (j->bearer[0] && now - j->made < JWT_RENEW_MIN)
		return false;
	j->bearer[0] = '\0';
	return true;
}

int64_t jwt_made(const struct jwt *j)
{
	return j->made;
}
