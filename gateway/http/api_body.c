/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_body.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "gateway/core/names.h"

#define LABEL_BYTES	  100
#define MEMBER_LIST_BYTES 180
#define MAX_SHOWN_BYTES	  40
#define MS_PER_SECOND	  1000

int api_fault_set(struct api_fault *fault, const char *pointer, const char *format, ...)
{
	char text[2 * sizeof(fault->err.text)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fault->code = NULL;
	snprintf(fault->pointer, sizeof(fault->pointer), "%s", pointer);
	return err_set(&fault->err, ERR_BAD_REQUEST, "%s", text);
}

/* RFC 6901 section 3: "~" is ~0 and "/" is ~1. */
void api_pointer(char out[API_POINTER_BYTES], const char *at, const char *member)
{
	size_t start = (size_t)snprintf(out, API_POINTER_BYTES, "%s/", at);
	size_t n = start;

	if (start >= API_POINTER_BYTES)
		return;
	for (; *member != '\0'; member++) {
		bool escaped = *member == '~' || *member == '/';

		if (n + (escaped ? 2 : 1) >= API_POINTER_BYTES) {
			out[start - 1] = '\0';
			return;
		}
		if (escaped) {
			out[n++] = '~';
			out[n++] = "01"[*member == '/'];
		} else {
			out[n++] = *member;
		}
	}
	out[n] = '\0';
}

/* A place: the pointer for the client's program, the label for its user. */
struct place {
	char pointer[API_POINTER_BYTES];
	char label[LABEL_BYTES];
};

/* "auth.mode" */
static struct place place_of(const char *at, const char *member)
{
	struct place place;
	size_t n = (size_t)snprintf(place.label, sizeof(place.label), "%s%s", at,
				    at[0] == '\0' ? "" : ".");

	api_pointer(place.pointer, at, member);
	assert(n < sizeof(place.label));
	for (size_t i = 0; i < n; i++) {
		if (place.label[i] == '/')
			place.label[i] = '.';
	}
	snprintf(place.label + n, sizeof(place.label) - n, "%s", member);
	if (at[0] == '/')
		memmove(place.label, place.label + 1, strlen(place.label));
	return place;
}

static int check_text(const json_t *value, const struct member *member, const struct place *place,
		      struct api_fault *fault)
{
	size_t max = member->max_bytes > 0 ? member->max_bytes : API_MAX_TEXT;
	const char *text = json_string_value(value);

	if (text == NULL)
		return api_fault_set(fault, place->pointer, "%s must be %s", place->label,
				     member->right);
	if (strlen(text) != json_string_length(value))
		return api_fault_set(fault, place->pointer, "%s must not hold NUL", place->label);
	if (strlen(text) > max)
		return api_fault_set(fault, place->pointer, "%s must not be longer than %zu bytes",
				     place->label, max);
	return 0;
}

static int check_list(const json_t *value, const struct member *member, const struct place *place,
		      struct api_fault *fault)
{
	if (!json_is_array(value))
		return api_fault_set(fault, place->pointer, "%s must be %s", place->label,
				     member->right);
	if (json_array_size(value) > member->max_items)
		return api_fault_set(fault, place->pointer, "%s must not have more than %zu items",
				     place->label, member->max_items);
	for (size_t i = 0; i < json_array_size(value); i++) {
		struct place item = *place;
		char index[24];

		snprintf(index, sizeof(index), "%zu", i);
		api_pointer(item.pointer, place->pointer, index);
		if (check_text(json_array_get(value, i), member, &item, fault) < 0)
			return -1;
		if (json_string_length(json_array_get(value, i)) == 0)
			return api_fault_set(fault, item.pointer,
					     "%s must not have an empty string in it",
					     place->label);
	}
	return 0;
}

static bool has_type(const json_t *value, enum member_type type)
{
	switch (type) {
	case MEMBER_FLAG:
		return json_is_boolean(value);
	case MEMBER_OBJECT:
		return json_is_object(value);
	case MEMBER_NUMBER:
		return json_is_number(value);
	case MEMBER_DURATION:
		return json_is_string(value) || json_is_number(value);
	default:
		return true;
	}
}

static int check_member(const json_t *value, const struct member *member, const struct place *place,
			struct api_fault *fault)
{
	if (json_is_null(value) && member->need == MEMBER_NULLABLE)
		return 0;
	if (!has_type(value, member->type))
		return api_fault_set(fault, place->pointer, "%s must be %s", place->label,
				     member->right);
	if (member->type == MEMBER_TEXT)
		return check_text(value, member, place, fault);
	if (member->type == MEMBER_LIST)
		return check_list(value, member, place, fault);
	return 0;
}

static const struct member *find_member(const struct member *members, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(members[i].name, name) == 0)
			return &members[i];
	}
	return NULL;
}

static int fail_unknown(const struct place *place, const char *what, const struct member *members,
			size_t n, struct api_fault *fault)
{
	char list[MEMBER_LIST_BYTES] = "";
	size_t used = 0;

	for (size_t i = 0; i < n && used < sizeof(list); i++) {
		if (members[i].type != MEMBER_IGNORED)
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
						 used > 0 ? ", " : "", members[i].name);
	}
	return api_fault_set(fault, place->pointer, "%.*s is not a member of %s; it may have %s",
			     MAX_SHOWN_BYTES, place->label, what, list);
}

int members_check(const json_t *object, const char *at, const char *what,
		  const struct member *members, size_t n, struct api_fault *fault)
{
	/* jansson's iterators take the object as not const, and do not change it. */
	json_t *iterated = (json_t *)object;
	const char *name;
	json_t *value;

	json_object_foreach(iterated, name, value)
	{
		const struct member *member = find_member(members, n, name);
		const struct place place = place_of(at, name);

		if (member == NULL)
			return fail_unknown(&place, what, members, n, fault);
		if (check_member(value, member, &place, fault) < 0)
			return -1;
	}
	for (size_t i = 0; i < n; i++) {
		const struct place place = place_of(at, members[i].name);

		if (members[i].need == MEMBER_REQUIRED &&
		    json_object_get(object, members[i].name) == NULL)
			return api_fault_set(fault, place.pointer, "%s is required; it must be %s",
					     place.label, members[i].right);
	}
	return 0;
}

const char *member_text(const json_t *object, const char *name, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : otherwise;
}

const char *member_filled(const json_t *object, const char *name)
{
	const char *text = member_text(object, name, NULL);

	return text != NULL && text[0] != '\0' ? text : NULL;
}

bool member_flag(const json_t *object, const char *name, bool otherwise)
{
	const json_t *value = json_object_get(object, name);

	return value != NULL ? json_is_true(value) : otherwise;
}

/* Seconds as a JSON number; 0 if they are out of every range. */
static int64_t seconds_to_ms(double seconds)
{
	double ms = round(seconds * MS_PER_SECOND);

	return ms >= 1 && ms <= API_MAX_TIMEOUT_MS ? (int64_t)ms : 0;
}

int member_duration(const json_t *object, const char *name, int64_t *out, struct api_fault *fault)
{
	const json_t *value = json_object_get(object, name);
	const struct place place = place_of("", name);
	int64_t ms = 0;
	struct err err;

	if (value == NULL)
		return 0;
	if (json_is_number(value))
		ms = seconds_to_ms(json_number_value(value));
	else if (json_text(object, name) == NULL ||
		 text_duration_ms(json_text(object, name), &ms, &err) < 0)
		return api_fault_set(fault, place.pointer,
				     "%s must be a duration such as \"250ms\", \"10s\", \"5m\" or "
				     "a number of seconds",
				     place.label);
	if (ms < 1 || ms > API_MAX_TIMEOUT_MS)
		return api_fault_set(fault, place.pointer, "%s must be from 1 ms to 1 hour",
				     place.label);
	*out = ms;
	return 0;
}

int member_name(const json_t *object, const char *name, struct api_fault *fault)
{
	const struct place place = place_of("", name);

	if (name_valid(member_text(object, name, "")))
		return 0;
	return api_fault_set(
		fault, place.pointer,
		"%s must be 1 to %d lower-case letters and digits, in groups joined by "
		"single - or _",
		place.label, NAME_MAX_BYTES);
}

/* The place that a pointer of ours names. */
static struct place label_of(const char *pointer)
{
	const char *slash = strrchr(pointer, '/');
	char at[API_POINTER_BYTES];

	snprintf(at, sizeof(at), "%.*s", (int)(slash - pointer), pointer);
	return place_of(at, slash + 1);
}

int member_word(const char *text, const char *at, const char *const *words, struct api_fault *fault)
{
	char list[MEMBER_LIST_BYTES] = "";
	size_t used = 0;

	for (size_t i = 0; words[i] != NULL; i++) {
		if (strcmp(text, words[i]) == 0)
			return 0;
		if (used < sizeof(list))
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s\"%s\"",
						 i > 0 ? ", " : "", words[i]);
	}
	return api_fault_set(fault, at, "%s must be one of %s", label_of(at).label, list);
}

/* The depth is bounded by json_parse. */
json_t *merge_patch(json_t *target, json_t *patch)
{
	json_t *merged;
	const char *name;
	json_t *value;

	if (!json_is_object(patch))
		return json_incref(patch);
	merged = json_is_object(target) ? json_copy(target) : json_object();
	json_object_foreach(patch, name, value)
	{
		if (json_is_null(value))
			json_object_del(merged, name);
		else
			json_object_set_new(merged, name,
					    merge_patch(json_object_get(merged, name), value));
	}
	return merged;
}
