/* SPDX-License-Identifier: Apache-2.0 */
#include "base/url.h"

#include <arpa/inet.h>
#include <assert.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define HOST_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789-_."

/* What curl's parser would take, or read otherwise than a person does. */
static int check_spelling(const char *text, struct err *err)
{
	const char *authority = strstr(text, "://");

	if (strlen(text) > URL_MAX_BYTES)
		return err_set(err, ERR_BAD_REQUEST, "URL is longer than %d bytes", URL_MAX_BYTES);
	for (const char *p = text; *p != '\0'; p++) {
		if (*p <= ' ' || *p > '~')
			return err_set(err, ERR_BAD_REQUEST,
				       "URL must be printable ASCII (names in their xn-- form)");
	}
	if (authority == NULL || authority[3] == '/')
		return err_set(err, ERR_BAD_REQUEST, "URL must look like https://host/path");
	authority += 3;
	if (strcspn(authority, "@\\%") < strcspn(authority, "/?#"))
		return err_set(err, ERR_BAD_REQUEST,
			       "URL must have a plain host, without user name or escapes");
	if (strchr(text, '#') != NULL)
		return err_set(err, ERR_BAD_REQUEST, "URL must not have a fragment");
	return 0;
}

/* True if a resolver could read the label as a number: "1", "010", "0x7f". */
static bool is_number(const char *label)
{
	size_t n = strlen(label);

	if (label[0] == '0' && label[1] == 'x')
		return strspn(label + 2, "0123456789abcdef") == n - 2;
	return n > 0 && strspn(label, "0123456789") == n;
}

static int check_name(const char *host, bool dotted, struct err *err)
{
	const char *last_dot = strrchr(host, '.');
	struct in_addr address;

	if (host[0] == '\0' || host[0] == '.' || strstr(host, "..") != NULL ||
	    strspn(host, HOST_CHARACTERS) != strlen(host))
		return err_set(err, ERR_BAD_REQUEST, "URL has no valid host name");
	if (is_number(last_dot != NULL ? last_dot + 1 : host) &&
	    (dotted || inet_pton(AF_INET, host, &address) != 1))
		return err_set(err, ERR_BAD_REQUEST, "URL has neither a host name nor an address");
	return 0;
}

static int set_ipv6(const char *host, struct url *url, struct err *err)
{
	char inner[INET6_ADDRSTRLEN];
	struct in6_addr address;
	size_t n = strlen(host);

	assert(n >= 2 && host[n - 1] == ']');
	if (n - 2 >= sizeof(inner))
		return err_set(err, ERR_BAD_REQUEST, "URL has no valid IPv6 address");
	memcpy(inner, host + 1, n - 2);
	inner[n - 2] = '\0';
	if (inet_pton(AF_INET6, inner, &address) != 1)
		return err_set(err, ERR_BAD_REQUEST, "URL has no valid IPv6 address");
	inet_ntop(AF_INET6, &address, url->host, sizeof(url->host));
	return 0;
}

static int set_host(const char *host, struct url *url, struct err *err)
{
	size_t n = strlen(host);
	bool dotted = n > 1 && host[n - 1] == '.';

	if (host[0] == '[')
		return set_ipv6(host, url, err);
	if (dotted)
		n--;
	if (n >= sizeof(url->host))
		return err_set(err, ERR_BAD_REQUEST, "URL has a host name that is too long");
	for (size_t i = 0; i < n; i++)
		url->host[i] = (char)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] + 32 : host[i]);
	url->host[n] = '\0';
	return check_name(url->host, dotted, err);
}

/* Takes one part of a parsed URL; NULL if it has none. The caller frees with curl_free. */
static char *part(CURLU *handle, CURLUPart which, unsigned flags)
{
	char *value = NULL;

	return curl_url_get(handle, which, &value, flags) == CURLUE_OK ? value : NULL;
}

static int set_parts(CURLU *handle, struct url *url, struct err *err)
{
	char *host = part(handle, CURLUPART_HOST, 0);
	char *port = part(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	char *text = part(handle, CURLUPART_URL, 0);
	uint64_t number = 0;
	int ret = -1;

	if (host == NULL || port == NULL || text == NULL || strlen(text) > URL_MAX_BYTES)
		err_set(err, ERR_BAD_REQUEST, "URL has no usable host");
	else if (text_uint(port, 1, UINT16_MAX, &number, err) < 0)
		err_set(err, ERR_BAD_REQUEST, "URL has a port outside 1 to 65535");
	else
		ret = set_host(host, url, err);
	if (ret == 0) {
		url->port = (uint16_t)number;
		snprintf(url->text, sizeof(url->text), "%s", text);
	}
	curl_free(host);
	curl_free(port);
	curl_free(text);
	return ret;
}

static int set_scheme(CURLU *handle, struct url *url, struct err *err)
{
	char *scheme = part(handle, CURLUPART_SCHEME, 0);
	int ret = 0;

	if (scheme != NULL && text_equal_nocase(scheme, "https"))
		url->https = true;
	else if (scheme == NULL || !text_equal_nocase(scheme, "http"))
		ret = err_set(err, ERR_BAD_REQUEST, "URL must begin with https:// or http://");
	curl_free(scheme);
	return ret;
}

int url_parse(const char *text, struct url *url, struct err *err)
{
	CURLU *handle;
	CURLUcode problem;
	int ret;

	*url = (struct url){ 0 };
	if (check_spelling(text, err) < 0)
		return -1;
	handle = curl_url();
	assert(handle != NULL);
	problem = curl_url_set(handle, CURLUPART_URL, text, 0);
	if (problem != CURLUE_OK)
		ret = err_set(err, ERR_BAD_REQUEST, "URL: %s", curl_url_strerror(problem));
	else if (set_scheme(handle, url, err) < 0)
		ret = -1;
	else
		ret = set_parts(handle, url, err);
	curl_url_cleanup(handle);
	return ret;
}
