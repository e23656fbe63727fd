/*
 * loader.h: from a checkpoint's tensors to blocks, and back.
 *
 * Accepts names with and without the family's prefix ("bert."), the old gamma/beta names, I8
 * tensors with a companion
 * "<name>.scale" (F32, one per row), and drops position_ids buffers and tied copies. Every key gets
 * a line in the report.
 */
#ifndef BERT_NN_LOADER_H
#define BERT_NN_LOADER_H

#include "files/safetensors.h"
#include "nn/tensor_table.h"

typedef enum KeyStatus
{
	KEY_LOADED,
	KEY_MISSING, /* not in the file: initialized as the reference does */
	/* in the file, not in the model; other heads' tensors too, as the reference reports them */
	KEY_UNEXPECTED,
	/* in the file, known, and not used: buffers, tied copies, the pooler for a head without */
	KEY_IGNORED
} KeyStatus;

typedef struct KeyReportLine
{
	const char *key;
	KeyStatus status;
	bool of_file; /* a file or a setting in it, not a tensor */
} KeyReportLine;

typedef struct KeyReport
{
	size_t n_lines;
	KeyReportLine *lines;
} KeyReport;

const char *key_status_name(KeyStatus status); /* "loaded" */

/*
 * Matches the checkpoint with the table and makes the report, sorted by key. A wrong shape is
 * STATUS_INVALID_DATA naming the tensor and both shapes; so is a hole in the encoder: only the
 * head, the pooler and cross-attention may be missing. plan[i] is the checkpoint tensor for table
 * tensor i, or NULL (missing).
 */
typedef struct LoadPlan
{
	const TensorTable *table;
	const CheckpointTensor **plan;   /* (n_tensors) */
	const CheckpointTensor **scales; /* (n_tensors) for I8, else NULL */
	KeyReport report;
} LoadPlan;

bool load_plan(Arena *arena, const Checkpoint *checkpoint, const TensorTable *table, LoadPlan *plan,
			   Status *status);

/*
 * Which head the checkpoint's own tensors and the config's architecture say; HEAD_NONE when neither
 * says one.
 */
HeadKind checkpoint_head(const Checkpoint *checkpoint, const BertConfig *config);
bool checkpoint_has_pooler(const Checkpoint *checkpoint, const Family *family);

/*
 * out: own's tensors and those of base that own does not have, sorted by name. Names with and
 * without "bert." are the same tensor; the scales of one go with it.
 */
bool checkpoint_merge(Arena *arena, const Checkpoint *own, const Checkpoint *base, Checkpoint *out,
					  Status *status);

/*
 * Reads block into out (blocks[block].elements floats); missing tensors are initialized from the
 * seed.
 */
bool load_block(const LoadPlan *plan, const BertConfig *config, int block, uint64_t seed,
				float *out, const MayContinue *question, Status *status);

/*
 * The tensors of an exported file in table order, as the reference's class of the table's head
 * names them (no "bert." for the bare model; the decoder's bias a second time where it is not
 * tied). All F32. tensors[i] is the table's tensor whose floats follow for declarations[i].
 * dense: of that Dense module's own file ("linear.weight"); -1: of the model's.
 */
bool export_declarations(Arena *arena, const TensorTable *table, int dense,
						 CheckpointDeclaration **declarations, int **tensors, size_t *count,
						 Status *status);

/*
 * Adds the tensors of a module's own file to a checkpoint, as "FOLDER.name".
 */
bool checkpoint_add_module(Arena *arena, Checkpoint *checkpoint, const Checkpoint *module,
						   const char *folder, Status *status);

#endif
