/* hash_blocks.h: SHA-256's compression of whole blocks, with and without instructions for it. */
#ifndef BERT_CORE_HASH_BLOCKS_H
#define BERT_CORE_HASH_BLOCKS_H

#include <stddef.h>
#include <stdint.h>

/* Takes n blocks of 64 bytes into the state. */
typedef void (*Sha256Blocks)(uint32_t state[8], const unsigned char *blocks, size_t n);

void sha256_blocks_portable(uint32_t state[8], const unsigned char *blocks, size_t n);

/* The one that uses this CPU's own instructions; NULL if it has none. */
Sha256Blocks sha256_blocks_of_cpu(void);

extern const uint32_t sha256_constants[64];

#endif
