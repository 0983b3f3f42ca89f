/* SPDX-License-Identifier: Apache-2.0 */
#include "guest-agent/lookup.h"

#include "guest-agent/errtext.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

enum { QUOTED_MAX = 512 };

const char *lookup_environment(char *const *env, const char *name)
{
	size_t length = strlen(name);
	const char *value = NULL;

	for (; *env; env++) {
		if (strncmp(*env, name, length) == 0 && (*env)[length] == '=')
			value = *env + length + 1;
	}
	return value;
}

/* The name in the form engines and people are used to: quoted, what does not print escaped. */
static const char *quote(const char *name, char out[QUOTED_MAX])
{
	size_t used = 0;

	for (; *name && used < QUOTED_MAX - 8; name++) {
		unsigned char c = (unsigned char)*name;

		if (c == '"' || c == '\\') {
			out[used++] = '\\';
			out[used++] = (char)c;
		} else if (c < 0x20 || c == 0x7f) {
			used += (size_t)snprintf(out + used, 8, c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\x%02x", c);
		} else {
			out[used++] = (char)c;
		}
	}
	out[used] = '\0';
	return out;
}

/* 0, or the errno that says why the file cannot be run; *is_stat: it could not even be looked at. */
static int check_file(const char *path, bool *is_stat)
{
	struct stat status;

	*is_stat = true;
	if (stat(path, &status) < 0)
		return errno;
	*is_stat = false;
	if (S_ISDIR(status.st_mode))
		return EISDIR;
	if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0) /* else capabilities would not count */
		return errno;
	return 0;
}

static int lookup_path(const char *name, char out[PATH_MAX], struct err *err)
{
	char quoted[QUOTED_MAX], words[ERRTEXT_MAX];
	bool is_stat;
	int code = strlen(name) < PATH_MAX ? check_file(name, &is_stat) : ENAMETOOLONG;

	if (code == ENAMETOOLONG)
		is_stat = true;
	if (code == 0) {
		memcpy(out, name, strlen(name) + 1);
		return 0;
	}
	if (is_stat)
		return err_set(err, code, "exec: \"%s\": stat %.400s: %s", quote(name, quoted), name,
			       errtext(code, words));
	/* The kernel's answer to a directory is EACCES, which Podman looks for; a user is helped by the other. */
	if (code == EISDIR)
		return err_set(err, code, "exec: \"%s\": is a directory: permission denied", quote(name, quoted));
	return err_set(err, code, "exec: \"%s\": %s", quote(name, quoted), errtext(code, words));
}

int lookup_program(const char *name, char *const *env, char out[PATH_MAX], struct err *err)
{
	char quoted[QUOTED_MAX];
	const char *path = lookup_environment(env, "PATH");
	bool is_stat;

	if (strchr(name, '/'))
		return lookup_path(name, out, err);
	if (!path)
		path = default_path;
	while (name[0] && *path) {
		size_t length = strcspn(path, ":");
		int n = snprintf(out, PATH_MAX, "%.*s/%s", length ? (int)length : 1, length ? path : ".", name);

		if (n > 0 && n < PATH_MAX && check_file(out, &is_stat) == 0)
			return 0;
		path += length;
		if (*path == ':')
			path++;
	}
	return err_set(err, ENOENT, "exec: \"%s\": executable file not found in $PATH", quote(name, quoted));
}
