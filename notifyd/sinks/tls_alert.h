/* SPDX-License-Identifier: BSD-3-Clause */
/* What sinks that speak TLS have in common. */
#ifndef NOTIFYD_SINKS_TLS_ALERT_H
#define NOTIFYD_SINKS_TLS_ALERT_H

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>

/* Whether an error of OpenSSL's queue is an alert by which the other side says that it does not
 * like our certificate, or wants one (RFC 8446, 6.2). */
static inline bool tls_alert_about_ours(unsigned long code)
{
	switch (ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0) {
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
	case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
	case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
		return true;
	default:
		return false;
	}
}

#endif
