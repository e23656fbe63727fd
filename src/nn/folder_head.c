/* folder_head.c: a SetFit folder's model_head.pkl and config_setfit.json. */
#include "nn/folder_head.h"

#include <stdlib.h>
#include <string.h>

#include "files/json.h"
#include "files/logistic_head.h"

#define HEAD_FILE "model_head.pkl"
#define SETTINGS_FILE "config_setfit.json"
#define SETTINGS_BYTES ((size_t) 16 * 1024 * 1024)

/* What config_setfit.json says. */
typedef struct SetFitSettings
{
	bool normalize;
	const json_t *labels; /* names for the numbers of classes; NULL: none */
} SetFitSettings;

static bool
read_settings(Arena *arena, ModelSource *source, SetFitSettings *out, Status *status)
{
	json_t *root;

	*out = (SetFitSettings){0};
	if (!json_read_object(arena, source, SETTINGS_FILE, SETTINGS_BYTES, &root, status))
		return false;
	if (root == NULL)
		return true;
	if (!json_get_bool(root, "normalize_embeddings", &out->normalize, status))
		return status_prefix(status, SETTINGS_FILE);
	if (json_is_integer(json_object_get(root, "span_context")))
		return status_fail(status, STATUS_UNSUPPORTED,
						   SETTINGS_FILE ": \"span_context\": it classifies parts of texts");
	out->labels = json_object_get(root, "labels");
	if (out->labels == NULL || json_is_null(out->labels))
	{
		out->labels = NULL;
		return true;
	}
	for (size_t i = 0; i < json_array_size(out->labels); i++)
		if (!json_is_string(json_array_get(out->labels, i)))
			return status_fail(status, STATUS_UNSUPPORTED,
							   SETTINGS_FILE ": \"labels\" are no list of texts");
	return json_is_array(out->labels) ||
		   status_fail(status, STATUS_UNSUPPORTED,
					   SETTINGS_FILE ": \"labels\" are no list of texts");
}

/* A class's name: the text that its number stands for, or what the file calls it. */
static const char *
label_of(const LogisticHead *head, const SetFitSettings *settings, int i)
{
	char *end;
	unsigned long long number;

	if (!head->numbered || settings->labels == NULL)
		return head->classes[i];
	number = strtoull(head->classes[i], &end, 10);
	if (head->classes[i][0] == '-' || *end != '\0' || number >= json_array_size(settings->labels))
		return head->classes[i];
	return json_string_value(json_array_get(settings->labels, (size_t) number));
}

static bool
set_labels(Arena *arena, const LogisticHead *head, const SetFitSettings *settings,
		   BertConfig *config, Status *status)
{
	const char **labels = arena_alloc_array(arena, (size_t) head->n_labels, sizeof *labels);

	if (labels == NULL)
		return arena_fail(arena, status, "labels", (size_t) head->n_labels * sizeof *labels);
	for (int i = 0; i < head->n_labels; i++)
	{
		labels[i] = label_of(head, settings, i);
		if (labels[i][0] == '\0')
			return status_fail(status, STATUS_UNSUPPORTED, "class %d has no name", i);
	}
	config->problem_type = head->several ? PROBLEM_MULTI_LABEL : PROBLEM_SINGLE_LABEL;
	return config_set_labels(arena, config, head->n_labels, labels, status);
}

/* The arrays as tensors of the model: "model_head.weight", "model_head.bias". */
static bool
add_tensors(Arena *arena, const LogisticHead *head, Checkpoint *checkpoint, Status *status)
{
	size_t n = (size_t) head->n_labels;
	ByteSource *sources = arena_alloc_array(arena, 2, sizeof *sources);
	CheckpointTensor *tensors = arena_alloc_array_zero(arena, 2, sizeof *tensors);
	Checkpoint own = {2, tensors};

	if (sources == NULL || tensors == NULL)
		return arena_fail(arena, status, "a classifier", 2 * sizeof *tensors);
	for (int i = 0; i < 2; i++)
	{
		const float *floats = i == 0 ? head->bias : head->weight;
		uint64_t elements = i == 0 ? n : n * (uint64_t) head->n_features;

		source_from_memory(&sources[i], HEAD_FILE, floats, elements * sizeof *floats);
		tensors[i] = (CheckpointTensor){.name = i == 0 ? "bias" : "weight",
										.dtype = DTYPE_F32,
										.dtype_name = "F32",
										.rank = 1 + i,
										.shape = {head->n_labels, head->n_features},
										.elements = elements,
										.source = &sources[i],
										.bytes = elements * sizeof *floats};
	}
	return checkpoint_add_module(arena, checkpoint, &own, "model_head", status);
}

/* What a classifier of embeddings needs beside its arrays. */
static bool
check_encoder(Arena *arena, const LogisticHead *head, const ModelFolder *folder, Status *status)
{
	int given = sentence_dimensions(&folder->config, &folder->sentence.pooling);
	const char *prompt;

	if (head->n_features != given)
		return status_fail(status, STATUS_UNSUPPORTED,
						   "it reads embeddings of %d values, but the encoder's have %d",
						   head->n_features, given);
	if (!sentence_prompt(arena, &folder->sentence, NULL, PROMPT_DEFAULT, &prompt, status))
		return false;
	return prompt[0] == '\0' || status_fail(status, STATUS_UNSUPPORTED,
											"the encoder puts a default prompt before texts");
}

static bool
use_head(Arena *arena, ModelSource *source, ByteSource *file, ModelFolder *folder, Status *status)
{
	SetFitSettings settings;
	LogisticHead head;

	if (!logistic_head_read(arena, file, &head, status) ||
		!read_settings(arena, source, &settings, status) ||
		!check_encoder(arena, &head, folder, status) ||
		!set_labels(arena, &head, &settings, &folder->config, status))
		return false;
	folder->sentence.classified_features = head.n_features;
	folder->sentence.classified_normalized = settings.normalize;
	return sentence_settings_save_again(arena, &folder->sentence, status) &&
		   sentence_settings_put_dense(&folder->sentence, &folder->config, status) &&
		   add_tensors(arena, &head, &folder->checkpoint, status);
}

bool
folder_head_open(Arena *arena, ModelSource *source, const FolderChoice *choice, ModelFolder *folder,
				 FileNotes *notes, bool *found, Status *status)
{
	bool wanted = folder->sentence.present &&
				  (choice->head == NULL || *choice->head == HEAD_SEQUENCE_CLASSIFICATION);
	ByteSource *file;

	*found = false;
	if (!source->open(source, HEAD_FILE, &file, found, status))
		return false;
	if (!*found)
		return true;
	*found = false;
	if (!wanted)
		return notes_add(notes, NOTE_IGNORED, HEAD_FILE, NULL, status);
	if (use_head(arena, source, file, folder, status))
	{
		*found = true;
		return true;
	}
	if (status->code != STATUS_UNSUPPORTED)
		return status_prefix(status, HEAD_FILE);
	return notes_add(notes, NOTE_IGNORED, HEAD_FILE, arena_strdup(arena, status->message), status);
}
