/* hash.c: SHA-256 and CRC-32C. */
#include "core/hash.h"

#include <stdbool.h>
#include <string.h>

#include "core/hash_blocks.h"

const uint32_t sha256_constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static inline uint32_t
rotate_right(uint32_t x, int n)
{
	return x >> n | x << (32 - n);
}

static inline uint32_t
load_be32(const unsigned char *bytes)
{
	return (uint32_t) bytes[0] << 24 | (uint32_t) bytes[1] << 16 | (uint32_t) bytes[2] << 8 |
		   bytes[3];
}

static void
store_be32(unsigned char *bytes, uint32_t value)
{
	bytes[0] = (unsigned char) (value >> 24);
	bytes[1] = (unsigned char) (value >> 16);
	bytes[2] = (unsigned char) (value >> 8);
	bytes[3] = (unsigned char) value;
}

static void
compress(uint32_t state[8], const unsigned char *block)
{
	uint32_t w[64];
	uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
	uint32_t e = state[4], f = state[5], g = state[6], h = state[7];

	for (int i = 0; i < 16; i++)
		w[i] = load_be32(block + 4 * i);
	for (int i = 16; i < 64; i++)
	{
		uint32_t s0 = rotate_right(w[i - 15], 7) ^ rotate_right(w[i - 15], 18) ^ w[i - 15] >> 3;
		uint32_t s1 = rotate_right(w[i - 2], 17) ^ rotate_right(w[i - 2], 19) ^ w[i - 2] >> 10;

		w[i] = w[i - 16] + s0 + w[i - 7] + s1;
	}
	for (int i = 0; i < 64; i++)
	{
		uint32_t s1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
		uint32_t s0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
		uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + sha256_constants[i] + w[i];
		uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));

		h = g;
		g = f;
		f = e;
		e = d + t1;
		d = c;
		c = b;
		b = a;
		a = t1 + t2;
	}
	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
	state[4] += e;
	state[5] += f;
	state[6] += g;
	state[7] += h;
}

void
sha256_blocks_portable(uint32_t state[8], const unsigned char *blocks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		compress(state, blocks + 64 * i);
}

static Sha256Blocks compress_blocks = sha256_blocks_portable;

static void __attribute__((constructor)) choose_blocks(void)
{
	Sha256Blocks of_cpu = sha256_blocks_of_cpu();

	if (of_cpu != NULL)
		compress_blocks = of_cpu;
}

void
sha256_init(Sha256 *hash)
{
	static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
										0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

	memcpy(hash->state, initial, sizeof initial);
	hash->length = 0;
}

void
sha256_update(Sha256 *hash, const void *data, size_t length)
{
	const unsigned char *at = data;
	size_t filled = hash->length % 64;

	if (length == 0)
		return;
	hash->length += length;
	if (filled > 0)
	{
		size_t room = 64 - filled;
		size_t n = length < room ? length : room;

		memcpy(hash->buffer + filled, at, n);
		at += n;
		length -= n;
		if (n < room)
			return;
		compress_blocks(hash->state, hash->buffer, 1);
	}
	compress_blocks(hash->state, at, length / 64);
	memcpy(hash->buffer, at + length / 64 * 64, length % 64);
}

void
sha256_final(Sha256 *hash, unsigned char digest[SHA256_BYTES])
{
	static const unsigned char padding[64] = {0x80};
	uint64_t bits = hash->length * 8;
	size_t filled = hash->length % 64;
	unsigned char length[8];

	store_be32(length, (uint32_t) (bits >> 32));
	store_be32(length + 4, (uint32_t) bits);
	sha256_update(hash, padding, filled < 56 ? 56 - filled : 120 - filled);
	sha256_update(hash, length, sizeof length);
	for (int i = 0; i < 8; i++)
		store_be32(digest + 4 * i, hash->state[i]);
}

/*
 * table[0] is the byte-wise table of a reflected polynomial; table[j] advances it by j zero bytes.
 */
typedef uint32_t CrcTables[8][256];

static CrcTables castagnoli;
static CrcTables zip;

static void
fill_tables(CrcTables tables, uint32_t polynomial)
{
	for (uint32_t i = 0; i < 256; i++)
	{
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ polynomial : crc >> 1;
		tables[0][i] = crc;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int j = 1; j < 8; j++)
			tables[j][i] = tables[j - 1][i] >> 8 ^ tables[0][tables[j - 1][i] & 0xFF];
}

static void __attribute__((constructor)) fill_all_tables(void)
{
	fill_tables(castagnoli, 0x82F63B78u);
	fill_tables(zip, 0xEDB88320u);
}

static inline uint32_t
load_le32(const unsigned char *bytes)
{
	return bytes[0] | (uint32_t) bytes[1] << 8 | (uint32_t) bytes[2] << 16 |
		   (uint32_t) bytes[3] << 24;
}

/* Eight bytes at a time ("slicing by eight"). */
static inline uint32_t
crc_update(const CrcTables tables, uint32_t crc, const void *data, size_t length)
{
	const unsigned char *at = data;

	crc = ~crc;
	for (; length >= 8; at += 8, length -= 8)
	{
		uint32_t low = crc ^ load_le32(at);
		uint32_t high = load_le32(at + 4);

		crc = tables[7][low & 0xFF] ^ tables[6][low >> 8 & 0xFF] ^ tables[5][low >> 16 & 0xFF] ^
			  tables[4][low >> 24] ^ tables[3][high & 0xFF] ^ tables[2][high >> 8 & 0xFF] ^
			  tables[1][high >> 16 & 0xFF] ^ tables[0][high >> 24];
	}
	for (; length > 0; at++, length--)
		crc = crc >> 8 ^ tables[0][(crc ^ *at) & 0xFF];
	return ~crc;
}

uint32_t
crc32c(uint32_t crc, const void *data, size_t length)
{
	return crc_update(castagnoli, crc, data, length);
}

uint32_t
crc32_zip(uint32_t crc, const void *data, size_t length)
{
	return crc_update(zip, crc, data, length);
}
