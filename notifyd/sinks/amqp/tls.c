/* SPDX-License-Identifier: BSD-3-Clause */
#include "tls.h"

#include "../../../lib/buf.h"
#include "../../secret.h"
#include "../tls_alert.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* With what OpenSSL says last, and its queue emptied. */
__attribute__((format(printf, 2, 3))) static int wrong(char **why_r, const char *fmt, ...)
{
	va_list ap;
	char *text;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;
	if (!text || !reason || asprintf(why_r, "%s (%s)", text, reason) < 0)
		*why_r = text;
	else
		free(text);
	ERR_clear_error();
	return -1;
}

struct pass {
	int asked;
};

/* The default would prompt on the terminal of a daemon. */
static int no_pass(char *buf, int size, int writing, void *ctx)
{
	(void)buf;
	(void)size;
	(void)writing;
	((struct pass *)ctx)->asked = 1;
	return -1;
}

static int use_key(SSL_CTX *ctx, const char *key, char **why_r)
{
	struct buf pem = BUF_INIT;
	struct pass pass = {0};
	EVP_PKEY *pkey = NULL;
	char *why;

	if (secret_read(key, &pem, &why)) {
		wrong(why_r, "key: %s", why ? why : "out of memory");
		free(why);
		return -1;
	}
	BIO *bio = BIO_new_mem_buf(pem.s ? pem.s : "", (int)pem.len);
	if (bio)
		pkey = PEM_read_bio_PrivateKey(bio, NULL, no_pass, &pass);
	BIO_free(bio);
	secret_forget(&pem);
	if (!pkey) {
		if (pass.asked) {
			ERR_clear_error();
			return wrong(why_r,
			             "key: %s is protected by a pass phrase: store it "
			             "without (openssl pkey), readable by notifyd alone",
			             key);
		}
		return wrong(why_r, "key: %s is not a private key in PEM form", key);
	}
	int ok = SSL_CTX_use_PrivateKey(ctx, pkey) == 1 && SSL_CTX_check_private_key(ctx) == 1;
	EVP_PKEY_free(pkey);
	return ok ? 0 : wrong(why_r, "key: %s does not belong to the certificate", key);
}

static int use_certificate(SSL_CTX *ctx, const char *file, char **why_r)
{
	struct pass pass = {0};

	SSL_CTX_set_default_passwd_cb(ctx, no_pass);
	SSL_CTX_set_default_passwd_cb_userdata(ctx, &pass);
	int ok = SSL_CTX_use_certificate_chain_file(ctx, file);
	SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
	SSL_CTX_set_default_passwd_cb(ctx, NULL);
	if (ok != 1)
		return wrong(why_r,
		             "certificate: %s can't be used: it must be readable and in PEM form",
		             file);
	const X509 *x = SSL_CTX_get0_certificate(ctx);
	if (X509_cmp_current_time(X509_get0_notAfter(x)) < 0)
		return wrong(why_r, "certificate: %s has expired: renew it", file);
	if (X509_cmp_current_time(X509_get0_notBefore(x)) > 0)
		return wrong(why_r, "certificate: %s is not valid yet: check the clock", file);
	return 0;
}

int tls_setup(SSL_CTX *ctx, const char *cafile, const char *certificate, const char *key,
              char **why_r)
{
	ERR_clear_error();
	*why_r = NULL;
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (cafile && SSL_CTX_load_verify_file(ctx, cafile) != 1)
		return wrong(why_r,
		             "cafile: %s can't be used: it must be readable and hold certificates "
		             "in PEM form",
		             cafile);
	if (!cafile && SSL_CTX_set_default_verify_paths(ctx) != 1)
		return wrong(
		    why_r, "cafile: must be set, since the system's certificates can't be loaded");
	if (!certificate != !key)
		return wrong(why_r, "%s: certificate and key must be set together",
		             certificate ? "certificate" : "key");
	if (certificate && (use_certificate(ctx, certificate, why_r) || use_key(ctx, key, why_r)))
		return -1;
	return 0;
}

int tls_check(const char *cafile, const char *certificate, const char *key, char **why_r)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	*why_r = NULL;
	if (!ctx)
		return wrong(why_r, "TLS can't be set up");
	int result = tls_setup(ctx, cafile, certificate, key, why_r);
	SSL_CTX_free(ctx);
	return result;
}

static int verified(int ok, X509_STORE_CTX *store)
{
	const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_refusal *refusal = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	if (!ok)
		refusal->error = X509_STORE_CTX_get_error(store);
	return ok;
}

/* The library names the address it connects to. Before the first message of the handshake, the
 * name that was meant. */
static void handshake(const SSL *ssl, int where, int ret)
{
	const struct tls_refusal *refusal = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	(void)ret;
	if (where & SSL_CB_HANDSHAKE_START)
		SSL_set_tlsext_host_name((SSL *)(uintptr_t)ssl, refusal->name);
}

int tls_expect(SSL_CTX *ctx, const char *host, struct tls_refusal *refusal)
{
	unsigned char address[sizeof(struct in6_addr)];
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
	bool numeric =
	    inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;

	*refusal = (struct tls_refusal){.name = numeric ? NULL : host};
	SSL_CTX_set_info_callback(ctx, handshake);
	SSL_CTX_set_app_data(ctx, refusal);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, verified);
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	int ok = numeric ? X509_VERIFY_PARAM_set1_ip_asc(param, host)
	                 : X509_VERIFY_PARAM_set1_host(param, host, 0);
	return ok == 1 ? 0 : -1;
}

bool tls_why(const struct tls_refusal *refusal, char *why, size_t size, bool *distrust_r)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;
	ERR_clear_error();
	*distrust_r = refusal->error || tls_alert_about_ours(code);
	if (!refusal->error && tls_alert_about_ours(code))
		snprintf(why, size,
		         "the broker refuses our certificate, or misses one (%s): check the "
		         "options certificate and key",
		         reason ? reason : "for no reason told");
	else if (refusal->error)
		snprintf(why, size, "the broker's certificate is refused: %s",
		         X509_verify_cert_error_string(refusal->error));
	else if (code)
		snprintf(why, size, "TLS failed: %s", reason ? reason : "for no reason told");
	return refusal->error || code;
}
