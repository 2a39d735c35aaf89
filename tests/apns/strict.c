/* SPDX-License-Identifier: BSD-3-Clause */
#include "strict.h"

#include <ctype.h>
#include <jansson.h>
#include <openssl/ecdsa.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAYLOAD_MAX 4096
#define RENEW_MIN   (20 * 60)

static const char *const names[FIELDS] = {
    [FIELD_METHOD] = ":method",
    [FIELD_PATH] = ":path",
    [FIELD_SCHEME] = ":scheme",
    [FIELD_AUTHORITY] = ":authority",
    [FIELD_AUTHORIZATION] = "authorization",
    [FIELD_TOPIC] = "apns-topic",
    [FIELD_PUSH_TYPE] = "apns-push-type",
    [FIELD_PRIORITY] = "apns-priority",
    [FIELD_EXPIRATION] = "apns-expiration",
    [FIELD_COLLAPSE_ID] = "apns-collapse-id",
    [FIELD_ID] = "apns-id",
    [FIELD_CONTENT_TYPE] = "content-type",
};

enum field strict_field(const char *name, size_t len)
{
	for (int i = 0; i < FIELDS; i++)
		if (strlen(names[i]) == len && !memcmp(names[i], name, len))
			return i;
	return FIELD_OTHER;
}

const char *strict_name(enum field f)
{
	return names[f];
}

static struct verdict refuse(int status, const char *reason)
{
	return (struct verdict){status, reason};
}

/* Without padding, by the alphabet of RFC 4648 section 5. The length, or -1. */
static int base64url(const char *in, size_t len, unsigned char *out, size_t size)
{
	static const char alphabet[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint32_t bits = 0;
	size_t n = 0;
	int have = 0;

	if (len % 4 == 1)
		return -1;
	for (size_t i = 0; i < len; i++) {
		const char *at = memchr(alphabet, in[i], 64);
		if (!at)
			return -1;
		bits = bits << 6 | (uint32_t)(at - alphabet);
		have += 6;
		if (have >= 8) {
			have -= 8;
			if (n == size)
				return -1;
			out[n++] = (unsigned char)(bits >> have);
		}
	}
	return (int)n;
}

static json_t *part(const char *s, size_t len)
{
	unsigned char text[1024];
	int n = base64url(s, len, text, sizeof(text));
	return n < 0 ? NULL : json_loadb((char *)text, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
}

static bool signed_by(EVP_PKEY *key, const char *text, size_t len, const char *sig, size_t siglen)
{
	unsigned char raw[65], der[80], *end = der;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	ECDSA_SIG *pair = ECDSA_SIG_new();
	bool ok = false;

	if (base64url(sig, siglen, raw, sizeof(raw)) == 64 &&
	    ECDSA_SIG_set0(pair, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL))) {
		int n = i2d_ECDSA_SIG(pair, &end);
		ok = n > 0 && EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key) == 1 &&
		     EVP_DigestVerify(md, der, (size_t)n, (const unsigned char *)text, len) == 1;
	}
	ECDSA_SIG_free(pair);
	EVP_MD_CTX_free(md);
	return ok;
}

/* The key that signed it, and when; NULL: nobody known did. */
static const struct strict_key *whose(const struct strict *s, const char *token, int64_t *iat_r)
{
	const char *dot = strchr(token, '.'), *second = dot ? strchr(dot + 1, '.') : NULL;
	const struct strict_key *found = NULL;
	const char *alg, *kid, *iss;
	json_int_t iat;

	if (!second || strchr(second + 1, '.'))
		return NULL;
	json_t *head = part(token, (size_t)(dot - token));
	json_t *claims = part(dot + 1, (size_t)(second - dot - 1));
	if (head && claims && !json_unpack(head, "{s:s, s:s}", "alg", &alg, "kid", &kid) &&
	    !json_unpack(claims, "{s:s, s:I}", "iss", &iss, "iat", &iat) && !strcmp(alg, "ES256")) {
		*iat_r = iat;
		for (size_t i = 0; i < s->nkeys && !found; i++)
			if (!strcmp(s->keys[i].id, kid) && !strcmp(s->keys[i].team, iss) &&
			    signed_by(s->keys[i].key, token, (size_t)(second - token), second + 1,
			              strlen(second + 1)))
				found = &s->keys[i];
	}
	json_decref(head);
	json_decref(claims);
	return found;
}

static struct verdict check_token(const struct strict *s, struct strict_peer *peer,
                                  const char *field)
{
	int64_t now = time(NULL) + s->clock_offset, iat;

	if (strncasecmp(field, "bearer ", 7) != 0)
		return refuse(403, "InvalidProviderToken");
	field += 7;
	if (strcmp(field, peer->token) != 0) {
		if (strlen(field) >= sizeof(peer->token) || !whose(s, field, &iat) ||
		    iat > now + 60)
			return refuse(403, "InvalidProviderToken");
		if (peer->token[0] && iat - peer->iat < RENEW_MIN)
			return refuse(429, "TooManyProviderTokenUpdates");
		memcpy(peer->token, field, strlen(field) + 1);
		peer->iat = iat;
		peer->tokens++;
	}
	if (now - peer->iat > s->token_max_age)
		return refuse(403, "ExpiredProviderToken");
	return refuse(200, NULL);
}

static bool listed(const char *const *list, const char *s)
{
	for (; *list; list++)
		if (!strcmp(*list, s))
			return true;
	return false;
}

static bool digits(const char *s)
{
	return *s && strspn(s, "0123456789") == strlen(s);
}

static bool uuid(const char *s)
{
	for (int i = 0; i < 36; i++)
		if (i == 8 || i == 13 || i == 18 || i == 23 ? s[i] != '-'
		                                            : !isxdigit((unsigned char)s[i]))
			return false;
	return !s[36];
}

/* What Mail, Calendar and Contacts take: an account id or a key. */
static bool useful(const struct text *body)
{
	json_t *j = json_loadb(body->s, body->len, JSON_REJECT_DUPLICATES, NULL);
	const char *s;
	bool ok = !json_unpack(j, "{s:{s:s}}", "aps", "account-id", &s) ||
	          !json_unpack(j, "{s:s}", "key", &s);

	json_decref(j);
	return ok;
}

static struct verdict check_path(const char *path)
{
	if (strncmp(path, "/3/device/", 10) != 0)
		return refuse(404, "BadPath");
	path += 10;
	size_t len = strlen(path);
	if (!len)
		return refuse(400, "MissingDeviceToken");
	if (strspn(path, "0123456789abcdefABCDEF") != len || len < 64 || len > 200 || len % 2)
		return refuse(400, "BadDeviceToken");
	return refuse(200, NULL);
}

struct verdict strict_check(const struct strict *s, struct strict_peer *peer,
                            const struct request *r)
{
	static const char *const types[] = {
	    "alert",    "background", "complication", "controls", "fileprovider", "liveactivity",
	    "location", "mdm",        "pushtotalk",   "voip",     "widgets",      NULL};
	const char *f[FIELDS];
	struct verdict v;

	for (int i = 0; i < FIELDS; i++)
		f[i] = r->field[i].s;
	if (!f[FIELD_METHOD] || strcmp(f[FIELD_METHOD], "POST") != 0)
		return refuse(405, "MethodNotAllowed");
	if (r->doubled)
		return refuse(400, "DuplicateHeaders");
	if (!f[FIELD_SCHEME] || strcmp(f[FIELD_SCHEME], "https") != 0 || !f[FIELD_AUTHORITY])
		return refuse(400, "BadPath");
	v = check_path(f[FIELD_PATH] ? f[FIELD_PATH] : "");
	if (v.status == 404)
		return v;
	struct verdict device = v;
	if (f[FIELD_AUTHORIZATION]) {
		v = check_token(s, peer, f[FIELD_AUTHORIZATION]);
		if (v.status != 200)
			return v;
	} else if (!peer->certified) {
		return refuse(403, "MissingProviderToken");
	}
	if (device.status != 200)
		return device;
	const char *topic = f[FIELD_TOPIC];
	if (!topic && (f[FIELD_AUTHORIZATION] || !peer->uid[0]))
		return refuse(400, "MissingTopic");
	if (topic && !*topic)
		return refuse(400, "BadTopic");
	if (topic && !f[FIELD_AUTHORIZATION] && strcmp(topic, peer->uid) != 0)
		return refuse(400, "TopicDisallowed");
	if (topic && s->topics[0] && !listed(s->topics, topic))
		return refuse(400, "TopicDisallowed");
	if (!f[FIELD_PUSH_TYPE] || !listed(types, f[FIELD_PUSH_TYPE]))
		return refuse(400, "InvalidPushType");
	const char *p = f[FIELD_PRIORITY];
	if (p && strcmp(p, "1") != 0 && strcmp(p, "5") != 0 && strcmp(p, "10") != 0)
		return refuse(400, "BadPriority");
	/* A background push of priority 10 is an error by Apple's documentation. */
	if (p && !strcmp(p, "10") && !strcmp(f[FIELD_PUSH_TYPE], "background"))
		return refuse(400, "BadPriority");
	if (f[FIELD_EXPIRATION] && !digits(f[FIELD_EXPIRATION]))
		return refuse(400, "BadExpirationDate");
	if (f[FIELD_COLLAPSE_ID] && strlen(f[FIELD_COLLAPSE_ID]) > 64)
		return refuse(400, "BadCollapseId");
	if (f[FIELD_ID] && !uuid(f[FIELD_ID]))
		return refuse(400, "BadMessageId");
	if (f[FIELD_CONTENT_TYPE] && strcmp(f[FIELD_CONTENT_TYPE], "application/json") != 0)
		return refuse(400, "BadContentType");
	if (!r->body.len)
		return refuse(400, "PayloadEmpty");
	if (r->body.len > PAYLOAD_MAX)
		return refuse(413, "PayloadTooLarge");
	/* Apple documents no word for this. */
	if (!useful(&r->body))
		return refuse(400, "BadPayload");
	return refuse(200, NULL);
}
