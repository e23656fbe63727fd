/* choose.c: picks the table of kernels once per process. */
#include "kernels/kernels.h"

#include <string.h>

const char *
precision_name(Precision precision)
{
	static const char *const names[PRECISION_COUNT] = {"fp32", "bf16", "int8"};

	return names[precision];
}

bool
precision_parse(const char *name, Precision *precision, Status *status)
{
	for (int i = 0; i < PRECISION_COUNT; i++)
		if (strcmp(name, precision_name((Precision) i)) == 0)
		{
			*precision = (Precision) i;
			return true;
		}
	status_fail(status, STATUS_INVALID_ARGUMENT, "unknown precision \"%s\"", name);
	return status_hint(status, "Precisions are fp32, bf16 and int8.");
}

const Kernels *
kernels_choose(const char *name, Status *status)
{
	status_fail(status, STATUS_UNSUPPORTED, "kernel \"%s\" is not compiled in", name);
	return NULL;
}
