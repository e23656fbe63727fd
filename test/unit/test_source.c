/* test_source.c: directories without links, pipes or tricks; memory; files that change while they
 * are read. */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "files/source.h"

static char root[] = "/tmp/bert_source_XXXXXX";

static const char *
at(const char *name)
{
	static char paths[4][256];
	static int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof paths[0], "%s/%s", root, name);
	return path;
}

static void
put(const char *name, const char *text)
{
	FILE *file = fopen(at(name), "wb");

	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static int
set_up(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (mkdtemp(root) == NULL || mkdir(at("model"), 0755) != 0 ||
		mkdir(at("model/1_Pooling"), 0755) != 0 || mkdir(at("elsewhere"), 0755) != 0)
		return -1;
	put("model/config.json", "0123456789");
	put("model/1_Pooling/config.json", "pooling");
	put("elsewhere/secret", "secret");
	snprintf(address.sun_path, sizeof address.sun_path, "%s", at("model/socket"));
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof address) != 0)
		return -1;
	close(fd);
	*state = arena_create(&allocator_malloc, 0);
	return symlink(at("elsewhere/secret"), at("model/symlink")) != 0 ||
		   symlink("config.json", at("model/symlink_inside")) != 0 ||
		   symlink(at("elsewhere"), at("model/linked_folder")) != 0 ||
		   symlink(at("model"), at("linked_model")) != 0 ||
		   link(at("elsewhere/secret"), at("model/hardlink")) != 0 ||
		   mkfifo(at("model/fifo"), 0644) != 0 || symlink("nowhere", at("model/dangling")) != 0;
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	(void) st;
	(void) type;
	(void) walk;
	return remove(path);
}

static int
tear_down(void **state)
{
	arena_destroy(*state);
	return nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void
test_names(void **state)
{
	static const struct
	{
		const char *name;
		StatusCode code; /* STATUS_NONE: opened or, with found false, not there */
		bool found;
	} cases[] = {
		{"config.json", STATUS_NONE, true},
		{"1_Pooling/config.json", STATUS_NONE, true},
		{"absent.json", STATUS_NONE, false},
		{"absent/config.json", STATUS_NONE, false},
		{"symlink", STATUS_PERMISSION, false},
		{"symlink_inside", STATUS_PERMISSION, false},
		{"dangling", STATUS_PERMISSION, false},
		{"linked_folder/secret", STATUS_PERMISSION, false},
		{"hardlink", STATUS_PERMISSION, false},
		{"fifo", STATUS_PERMISSION, false},
		{"1_Pooling", STATUS_PERMISSION, false},
		{"socket", STATUS_IO, false},
		{"config.json/x", STATUS_NOT_FOUND, false},
		{"../elsewhere/secret", STATUS_INVALID_DATA, false},
		{"1_Pooling/../config.json", STATUS_INVALID_DATA, false},
		{"..", STATUS_INVALID_DATA, false},
		{".", STATUS_INVALID_DATA, false},
		{"./config.json", STATUS_INVALID_DATA, false},
		{"/etc/passwd", STATUS_INVALID_DATA, false},
		{"1_Pooling//config.json", STATUS_INVALID_DATA, false},
		{"1_Pooling/", STATUS_INVALID_DATA, false},
		{"1_Pooling\\config.json", STATUS_INVALID_DATA, false},
		{"config\n.json", STATUS_INVALID_DATA, false},
		{"", STATUS_INVALID_DATA, false},
	};
	Arena *arena = *state;
	Status status;
	ModelSource *source = modelsource_open_directory(arena, at("model"), &status);
	size_t passed = 0;

	assert_non_null(source);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		ByteSource *file;
		bool found = false;
		bool ok = source->open(source, cases[i].name, &file, &found, &status);

		if ((ok ? STATUS_NONE : status.code) == cases[i].code && found == cases[i].found)
			passed++;
		else
			print_error("\"%s\": %d, found %d, %s\n", cases[i].name, ok ? 0 : (int) status.code,
						found, ok ? "" : status.message);
	}
	modelsource_close(source);
	print_message("%zu/%zu names as expected\n", passed, sizeof cases / sizeof cases[0]);
	assert_int_equal(passed, sizeof cases / sizeof cases[0]);
}

/* Links as Hugging Face's cache has them: what is there, and what was not downloaded. */
static void
test_cache_links(void **state)
{
	static const char *const hints[][2] = {{"model/downloaded", "cp -rL"},
										   {"model/not_downloaded", "not complete"}};
	Status status;
	ModelSource *source;

	assert_int_equal(mkdir(at("blobs"), 0755), 0);
	put("blobs/0123", "{}");
	assert_int_equal(symlink("../blobs/0123", at(hints[0][0])), 0);
	assert_int_equal(symlink("../blobs/4567", at(hints[1][0])), 0);
	source = modelsource_open_directory(*state, at("model"), &status);
	assert_non_null(source);
	for (int i = 0; i < 2; i++)
	{
		ByteSource *file;
		bool found;

		assert_false(source->open(source, strchr(hints[i][0], '/') + 1, &file, &found, &status));
		assert_int_equal(status.code, STATUS_PERMISSION);
		assert_non_null(strstr(status.hint, hints[i][1]));
	}
	modelsource_close(source);
}

static void
expect_directory(Arena *arena, const char *path, StatusCode code)
{
	Status status;
	ModelSource *source = modelsource_open_directory(arena, path, &status);

	if (code == STATUS_NONE)
		assert_non_null(source);
	else
	{
		assert_null(source);
		if (status.code != code)
			fail_msg("%s: %d, %s", path, (int) status.code, status.message);
	}
	modelsource_close(source);
}

static void
test_directories(void **state)
{
	expect_directory(*state, at("model"), STATUS_NONE);
	expect_directory(*state, at("model/"), STATUS_NONE);
	expect_directory(*state, at("model//1_Pooling"), STATUS_NONE);
	expect_directory(*state, "/", STATUS_NONE);
	expect_directory(*state, ".", STATUS_NONE);
	expect_directory(*state, at("absent"), STATUS_NOT_FOUND);
	expect_directory(*state, at("model/config.json"), STATUS_NOT_FOUND);
	expect_directory(*state, at("linked_model"), STATUS_PERMISSION);
	expect_directory(*state, at("linked_model/1_Pooling"), STATUS_PERMISSION);
	expect_directory(*state, "", STATUS_INVALID_ARGUMENT);
}

/* Opened once: another file under the same name is not seen; a file cut short is an error. */
static void
test_changes(void **state)
{
	Arena *arena = *state;
	Status status;
	ModelSource *source;
	ByteSource *file;
	bool found;
	char bytes[11] = "";

	put("model/changing", "0123456789");
	put("model/other", "something else");
	source = modelsource_open_directory(arena, at("model"), &status);
	assert_non_null(source);
	assert_true(source->open(source, "changing", &file, &found, &status) && found);
	assert_int_equal(file->size, 10);
	assert_int_equal(rename(at("model/other"), at("model/changing")), 0);
	assert_true(file->read(file, 0, bytes, 10, &status));
	assert_string_equal(bytes, "0123456789");

	assert_true(source->open(source, "changing", &file, &found, &status) && found);
	assert_int_equal(truncate(at("model/changing"), 3), 0);
	assert_false(file->read(file, 0, bytes, 10, &status));
	assert_int_equal(status.code, STATUS_INVALID_DATA);
	assert_non_null(strstr(status.message, "became shorter"));
	assert_null(source_read_all(arena, file, 5, &status));
	assert_int_equal(status.code, STATUS_LIMIT);
	modelsource_close(source);
}

/* Closing gives every descriptor back. */
static void
test_descriptors(void **state)
{
	Arena *arena = *state;
	Status status;
	int before = dup(0);
	int after;

	close(before);
	for (int i = 0; i < 50; i++)
	{
		ModelSource *source = modelsource_open_directory(arena, at("model"), &status);
		ByteSource *file;
		bool found;

		assert_non_null(source);
		assert_true(source->open(source, "config.json", &file, &found, &status));
		assert_true(source->open(source, "1_Pooling/config.json", &file, &found, &status));
		assert_false(source->open(source, "linked_folder/secret", &file, &found, &status));
		assert_false(source->open(source, "hardlink", &file, &found, &status));
		modelsource_close(source);
		modelsource_close(source); /* twice is harmless */
		assert_null(modelsource_open_directory(arena, at("linked_model/1_Pooling"), &status));
	}
	after = dup(0);
	close(after);
	assert_int_equal(before, after);
}

/*
 * A directory of the installation may be reached and filled by links; its names are checked all the
 * same.
 */
static void
test_installed(void **state)
{
	Status status;
	ModelSource *source = modelsource_open_installed(*state, at("linked_model"), &status);
	ByteSource *file;
	bool found;

	assert_non_null(source);
	assert_true(source->open(source, "hardlink", &file, &found, &status) && found);
	assert_true(source->open(source, "symlink_inside", &file, &found, &status) && found);
	assert_false(source->open(source, "fifo", &file, &found, &status));
	assert_false(source->open(source, "../elsewhere/secret", &file, &found, &status));
	modelsource_close(source);
	assert_null(modelsource_open_installed(*state, at("absent"), &status));
	assert_int_equal(status.code, STATUS_NOT_FOUND);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cache_links), cmocka_unit_test(test_names),
		cmocka_unit_test(test_directories), cmocka_unit_test(test_changes),
		cmocka_unit_test(test_installed),   cmocka_unit_test(test_descriptors),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
