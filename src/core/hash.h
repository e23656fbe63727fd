/* hash.h: SHA-256 (FIPS 180-4) for content addresses, CRC-32C (Castagnoli, as in iSCSI) for cheap
 * integrity checks, and the CRC-32 of ZIP archives. */
#ifndef BERT_CORE_HASH_H
#define BERT_CORE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32

typedef struct Sha256
{
	uint32_t state[8];
	uint64_t length; /* bytes so far */
	unsigned char buffer[64];
} Sha256;

void sha256_init(Sha256 *hash);
void sha256_update(Sha256 *hash, const void *data, size_t length);
void sha256_final(Sha256 *hash, unsigned char digest[SHA256_BYTES]);

/* crc: 0 to start, or the value so far to go on. */
uint32_t crc32c(uint32_t crc, const void *data, size_t length);
uint32_t crc32_zip(uint32_t crc, const void *data, size_t length);

#endif
