/* pooling.c: the names of poolings, and the classes of activations. */
#include "files/pooling.h"

#include <stdio.h>
#include <string.h>

#include "core/names.h"

static const char *const pooling_names[POOLING_COUNT] = {
	"mean", "cls", "max", "pooler", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"};

const char *
pooling_name(Pooling pooling)
{
	return pooling_names[pooling];
}

PoolingModes
pooling_single(Pooling pooling)
{
	return (PoolingModes){1, {pooling}};
}

bool
pooling_modes_have(const PoolingModes *modes, Pooling pooling)
{
	for (int i = 0; i < modes->n; i++)
		if (modes->modes[i] == pooling)
			return true;
	return false;
}

bool
pooling_modes_read_first(const PoolingModes *modes)
{
	for (int i = 0; i < modes->n; i++)
		if (modes->modes[i] != POOLING_CLS && modes->modes[i] != POOLING_POOLER)
			return false;
	return true;
}

bool
pooling_modes_add(PoolingModes *modes, Pooling pooling, Status *status)
{
	if (pooling_modes_have(modes, pooling))
		return status_fail(status, STATUS_INVALID_ARGUMENT, "pooling \"%s\" is there twice",
						   pooling_names[pooling]);
	modes->modes[modes->n++] = pooling;
	return true;
}

bool
pooling_modes_parse(const char *text, PoolingModes *modes, Status *status)
{
	modes->n = 0;
	for (const char *part = text;; part++)
	{
		size_t length = strcspn(part, "+");
		char name[POOLING_TEXT_BYTES];
		int i;

		snprintf(name, sizeof name, "%.*s", (int) (length < sizeof name ? length : sizeof name - 1),
				 part);
		i = name_parse(name, "pooling", pooling_names, POOLING_COUNT, status);
		if (i < 0 || !pooling_modes_add(modes, (Pooling) i, status))
			return false;
		part += length;
		if (*part == '\0')
			return true;
	}
}

void
pooling_modes_print(const PoolingModes *modes, char out[POOLING_TEXT_BYTES])
{
	size_t used = 0;

	out[0] = '\0';
	for (int i = 0; i < modes->n && used < POOLING_TEXT_BYTES; i++)
		used += (size_t) snprintf(out + used, POOLING_TEXT_BYTES - used, "%s%s", i == 0 ? "" : "+",
								  pooling_names[modes->modes[i]]);
}

void
dense_path(int module, char out[DENSE_PATH_BYTES])
{
	snprintf(out, DENSE_PATH_BYTES, "%d_Dense", module + 2);
}

#define ACTIVATION_MODULE "torch.nn.modules.activation."

/* The classes' names follow the module's; CELU is read only, and written as ELU. */
static const struct
{
	const char *class;
	DenseActivation activation;
} activations[] = {
	{"torch.nn.modules.linear.Identity", DENSE_IDENTITY},
	{ACTIVATION_MODULE "Tanh", DENSE_TANH},
	{ACTIVATION_MODULE "ReLU", DENSE_RELU},
	{ACTIVATION_MODULE "GELU", DENSE_GELU},
	{ACTIVATION_MODULE "Sigmoid", DENSE_SIGMOID},
	{ACTIVATION_MODULE "SiLU", DENSE_SILU},
	{ACTIVATION_MODULE "LeakyReLU", DENSE_LEAKY_RELU},
	{ACTIVATION_MODULE "ELU", DENSE_ELU},
	{ACTIVATION_MODULE "CELU", DENSE_ELU},
	{ACTIVATION_MODULE "SELU", DENSE_SELU},
	{ACTIVATION_MODULE "ReLU6", DENSE_RELU6},
	{ACTIVATION_MODULE "Mish", DENSE_MISH},
	{ACTIVATION_MODULE "Softplus", DENSE_SOFTPLUS},
	{ACTIVATION_MODULE "Softsign", DENSE_SOFTSIGN},
	{ACTIVATION_MODULE "Hardtanh", DENSE_HARDTANH},
	{ACTIVATION_MODULE "Hardsigmoid", DENSE_HARDSIGMOID},
	{ACTIVATION_MODULE "Hardswish", DENSE_HARDSWISH},
	{ACTIVATION_MODULE "LogSigmoid", DENSE_LOG_SIGMOID},
	{ACTIVATION_MODULE "Tanhshrink", DENSE_TANHSHRINK},
};

#define N_ACTIVATIONS ((int) (sizeof activations / sizeof activations[0]))

const char *
dense_activation_class(DenseActivation activation)
{
	for (int i = 0; i < N_ACTIVATIONS; i++)
		if (activations[i].activation == activation)
			return activations[i].class;
	return NULL;
}

/* What follows the last dot. */
static const char *
last_part(const char *class)
{
	const char *dot = strrchr(class, '.');

	return dot == NULL ? class : dot + 1;
}

bool
dense_activation_parse(const char *class, DenseActivation *activation, Status *status)
{
	const char *names[N_ACTIVATIONS];
	const char *nearest;
	int i;

	for (i = 0; i < N_ACTIVATIONS; i++)
		names[i] = last_part(activations[i].class);
	/* of torch, or the bare name: somebody else's Tanh may be anything */
	i = strncmp(class, "torch.", 6) == 0 || strchr(class, '.') == NULL
			? name_find(last_part(class), names, N_ACTIVATIONS)
			: -1;
	if (i >= 0)
	{
		*activation = activations[i].activation;
		return true;
	}
	status_fail(status, STATUS_UNSUPPORTED, "activation_function \"%.80s\" is not supported",
				class);
	nearest = name_nearest(last_part(class), names, N_ACTIVATIONS);
	return nearest != NULL
			   ? status_hint(status, "Perhaps you mean torch.nn.%s.", nearest)
			   : status_hint(status, "Supported are torch.nn's Identity, Tanh, ReLU, GELU, "
									 "Sigmoid and most others that look at one value at a time.");
}
