/* choose.c: picks the table of kernels once per process. */
#include "kernels/choose.h"

#include <string.h>

#include "kernels/cpu.h"
#include "kernels/portable.h"

static bool
always(void)
{
	return true;
}

const KernelFamily kernel_families[] = {
	{&kernels_portable, always, "nothing"},
	{NULL, NULL, NULL}
};

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
	for (const KernelFamily *family = kernel_families; family->kernels != NULL; family++)
	{
		if (strcmp(name, "auto") == 0 && family->usable())
			return family->kernels;
		if (strcmp(name, family->kernels->name) == 0)
		{
			if (family->usable())
				return family->kernels;
			status_fail(status, STATUS_UNSUPPORTED, "this CPU cannot run the kernel \"%s\"", name);
			status_hint(status, "It needs %s. Set bert.kernel to auto.", family->needs);
			return NULL;
		}
	}
	status_fail(status, STATUS_INVALID_ARGUMENT, "unknown kernel \"%s\"", name);
	status_hint(status, "Kernels are auto, avx512, avx2, neon and portable; which are there depends on the machine's architecture.");
	return NULL;
}

const char *const *
kernels_names(void)
{
	static const char *names[16];

	if (names[0] == NULL)
		for (int i = 0; kernel_families[i].kernels != NULL && i < 15; i++)
			names[i] = kernel_families[i].kernels->name;
	return names;
}
