/* test_hash.c: SHA-256 and CRC-32C against published values, whole and in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/hash_blocks.h"

static void
sha256_text(const void *data, size_t length, size_t step, char out[65])
{
	unsigned char digest[SHA256_BYTES];
	Sha256 hash;

	sha256_init(&hash);
	for (size_t at = 0; at < length; at += step)
		sha256_update(&hash, (const char *) data + at, length - at < step ? length - at : step);
	sha256_final(&hash, digest);
	for (int i = 0; i < SHA256_BYTES; i++)
		sprintf(out + 2 * i, "%02x", digest[i]);
}

/* FIPS 180-4's examples (NIST, "Secure Hashing" example files). */
static void
test_sha256(void **state)
{
	char *million = malloc(1000000);
	char text[65];

	(void) state;
	sha256_text("", 0, 1, text);
	assert_string_equal(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	sha256_text("abc", 3, 1, text);
	assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256_text("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, 56, text);
	assert_string_equal(text, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	assert_non_null(million);
	memset(million, 'a', 1000000);
	for (size_t step = 1; step < 1000; step = step * 3 + 1)
	{
		sha256_text(million, 1000000, step, text);
		assert_string_equal(text,
							"cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	}
	free(million);
}

/* The CPU's own instructions give the portable code's states, from any state and block. */
static void
test_sha256_blocks(void **state)
{
	Sha256Blocks of_cpu = sha256_blocks_of_cpu();
	unsigned char blocks[8 * 64];
	uint32_t portable[8];
	uint32_t own[8];
	uint32_t x = 1;

	(void) state;
	if (of_cpu == NULL)
		skip();
	for (int turn = 0; turn < 500; turn++)
	{
		for (size_t i = 0; i < sizeof blocks; i++)
			blocks[i] = (unsigned char) ((x = x * 1664525 + 1013904223) >> 24);
		for (int i = 0; i < 8; i++)
			portable[i] = own[i] = x = x * 1664525 + 1013904223;
		sha256_blocks_portable(portable, blocks, (size_t) turn % 9);
		of_cpu(own, blocks, (size_t) turn % 9);
		assert_memory_equal(own, portable, sizeof own);
	}
}

/* RFC 3720, B.4. */
static void
test_crc32c(void **state)
{
	unsigned char bytes[32] = {0};

	(void) state;
	assert_int_equal(crc32c(0, "123456789", 9), 0xE3069283);
	assert_int_equal(crc32c(0, bytes, 32), 0x8A9136AA);
	memset(bytes, 0xFF, 32);
	assert_int_equal(crc32c(0, bytes, 32), 0x62A8AB43);
	for (int i = 0; i < 32; i++)
		bytes[i] = (unsigned char) i;
	assert_int_equal(crc32c(0, bytes, 32), 0x46DD794E);
	for (size_t cut = 0; cut <= 32; cut++)
		assert_int_equal(crc32c(crc32c(0, bytes, cut), bytes + cut, 32 - cut), 0x46DD794E);
}

/* The check value of CRC-32/ISO-HDLC, and that of a ZIP's empty entry. */
static void
test_crc32_zip(void **state)
{
	(void) state;
	assert_int_equal(crc32_zip(0, "123456789", 9), 0xCBF43926);
	assert_int_equal(crc32_zip(crc32_zip(0, "1234", 4), "56789", 5), 0xCBF43926);
	assert_int_equal(crc32_zip(0, "", 0), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sha256),
		cmocka_unit_test(test_sha256_blocks),
		cmocka_unit_test(test_crc32c),
		cmocka_unit_test(test_crc32_zip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
