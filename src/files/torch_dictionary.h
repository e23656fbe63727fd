/*
 * torch_dictionary.h: the pickle that torch.save makes of a dictionary of tensors. It says names,
 * shapes, strides and which storage each tensor is a view of; where the storages' bytes are, the
 * container says (torch_archive.h).
 *
 * Sources: torch/serialization.py, torch/_utils.py (PyTorch 2.13).
 */
#ifndef BERT_FILES_TORCH_DICTIONARY_H
#define BERT_FILES_TORCH_DICTIONARY_H

#include "files/checkpoint.h"
#include "files/pickle.h"

/* A mention of a storage; several mentions may mean the same one. */
typedef struct TorchStorage
{
	uint64_t key; /* the number that names it */
	const DtypeInfo *dtype;
	uint64_t elements;
	uint64_t offset;          /* of its bytes in the source, once they are found */
	TensorChecksum *checksum; /* of all its bytes; NULL: there is none */
} TorchStorage;

typedef struct TorchDictionary
{
	Arena *arena;
	Status *status;
	size_t n_storages;
	size_t capacity;
	TorchStorage **storages; /* (n_storages) sorted by key; equal keys agree */
	size_t n_tensors;        /* that the pickle made */
	PickleValue root;
} TorchDictionary;

/*
 * Reads the pickle. A name in it that no dictionary of tensors needs is STATUS_UNSUPPORTED, with
 * the name.
 */
bool torch_dictionary_read(Arena *arena, PickleReader *reader, TorchDictionary *dictionary,
						   Status *status);

/*
 * The tensors of the dictionary, or of its member "state_dict", with the storages found. Every view
 * lies inside its storage. "module.", which torch.nn.DataParallel puts before every name, goes.
 */
bool torch_dictionary_tensors(const TorchDictionary *dictionary, ByteSource *source,
							  Checkpoint *part, Status *status);

/* The number in a storage's name; false when it is none. */
bool torch_storage_key(const PickleValue *value, uint64_t *key);

/* For pickles of plain values: no names at all. */
extern const PickleHost torch_plain_values;

extern const char torch_save_hint[];

#endif
