/* SPDX-License-Identifier: BSD-3-Clause */
#include "credentials.h"

#include "../amqp/tls.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

static int wrong(char **why_r, const char *what)
{
	ERR_clear_error();
	*why_r = strdup(what);
	return -1;
}

/* Which of the two ways; half of one is an error, and both are one too. */
static int check_options(const struct apns_client_options *o, char **why_r)
{
	bool token = o->token_key || o->key_id || o->team_id;

	if (token && (o->certificate || o->key))
		return wrong(why_r, o->certificate
		                        ? "certificate: set it and key, or token_key, key_id and "
		                          "team_id, not both"
		                        : "key: set certificate and it, or token_key, key_id and "
		                          "team_id, not both");
	if (token && !(o->token_key && o->key_id && o->team_id))
		return wrong(why_r, o->token_key ? "token_key: needs key_id and team_id beside it"
		                    : o->key_id  ? "key_id: needs token_key and team_id beside it"
		                                 : "team_id: needs token_key and key_id beside it");
	if (!token && !(o->certificate && o->key))
		return wrong(
		    why_r,
		    "certificate: must be set with key, or else token_key, key_id and team_id: "
		    "Apple takes no pushes without");
	return 0;
}

static void find_topic(struct credentials *c)
{
	X509 *x = SSL_CTX_get0_certificate(c->tls);
	X509_NAME *subject = x ? X509_get_subject_name(x) : NULL;
	int len = subject ? X509_NAME_get_text_by_NID(subject, NID_userId, NULL, 0) : -1;

	/* Cut short it would be another topic. */
	if (len > 0 && (size_t)len < sizeof(c->topic))
		X509_NAME_get_text_by_NID(subject, NID_userId, c->topic, sizeof(c->topic));
}

int credentials_load(struct credentials *c, const struct apns_client_options *o, char **why_r)
{
	static const unsigned char h2[] = {2, 'h', '2'};

	*why_r = NULL;
	*c = (struct credentials){.tls = SSL_CTX_new(TLS_client_method())};
	if (!c->tls) {
		wrong(why_r, "TLS can't be set up: memory is short");
	} else if (!check_options(o, why_r) &&
	           !tls_setup(c->tls, o->cafile, o->certificate, o->key, why_r) &&
	           (!o->token_key ||
	            !jwt_open(&c->jwt, o->token_key, o->key_id, o->team_id, why_r))) {
		if (!SSL_CTX_set_alpn_protos(c->tls, h2, sizeof(h2))) {
			SSL_CTX_set_mode(c->tls, SSL_MODE_ENABLE_PARTIAL_WRITE |
			                             SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
			find_topic(c);
			return 0;
		}
		wrong(why_r, "TLS can't be set up: memory is short");
	}
	credentials_forget(c);
	return -1;
}

void credentials_forget(struct credentials *c)
{
	SSL_CTX_free(c->tls);
	jwt_close(&c->jwt);
	c->tls = NULL;
}
