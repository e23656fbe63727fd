/* activation.c: the published names of activation functions. */
#include "kernels/activation.h"

#include <string.h>

static const struct
{
	const char *name;
	Activation activation;
} activations[] = {
	{"gelu", ACTIVATION_GELU},
	{"gelu_python", ACTIVATION_GELU},
	{"gelu_new", ACTIVATION_GELU_TANH},
	{"gelu_pytorch_tanh", ACTIVATION_GELU_TANH},
	{"gelu_fast", ACTIVATION_GELU_TANH},
	{"gelu_accurate", ACTIVATION_GELU_TANH},
	{"gelu_python_tanh", ACTIVATION_GELU_TANH},
	{"relu", ACTIVATION_RELU},
	{"silu", ACTIVATION_SILU},
	{"swish", ACTIVATION_SILU},
	{"tanh", ACTIVATION_TANH},
	{"quick_gelu", ACTIVATION_QUICK_GELU},
	{"mish", ACTIVATION_MISH},
};

bool
activation_parse(const char *name, Activation *activation, Status *status)
{
	for (size_t i = 0; i < sizeof activations / sizeof activations[0]; i++)
		if (strcmp(name, activations[i].name) == 0)
		{
			*activation = activations[i].activation;
			return true;
		}
	status_fail(status, STATUS_UNSUPPORTED, "hidden_act \"%.40s\" is not supported", name);
	return status_hint(
		status,
		"Supported are gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, quick_gelu, relu, silu, "
		"mish and tanh.");
}
