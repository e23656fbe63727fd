/*
 * torch_archive.h: files of torch.save (pytorch_model.bin), as data: a ZIP archive of stored
 * entries since PyTorch 1.6, a stream of pickles and storages before. Nothing in them is executed.
 *
 * Opening reads the directory and the pickles; the storages stay where they are and are read with
 * their tensors. Compressed or encrypted entries, big-endian files, TorchScript and the tar
 * archives of PyTorch before 0.2 are refused by name.
 */
#ifndef BERT_FILES_TORCH_ARCHIVE_H
#define BERT_FILES_TORCH_ARCHIVE_H

#include "files/checkpoint.h"

/* Whether a file that starts so is one of torch.save's, or means to be: ZIP, pickle. n: bytes. */
bool torch_recognize(const unsigned char *start, size_t n);

/* The tensors in the order of the dictionary. */
bool torch_open(Arena *arena, ByteSource *file, Checkpoint *part, Status *status);

#endif
