/* choose.c: picks the table of kernels once per process. */
#include "kernels/choose.h"

#include <string.h>

#include "core/names.h"
#include "kernels/blas.h"
#include "kernels/cpu.h"
#include "kernels/portable.h"

#define MAX_FAMILIES 15

static bool
always(void)
{
	return true;
}

#if defined(__x86_64__)
static bool
has_avx512_bf16(void)
{
	return cpu_features()->avx512_bf16 && cpu_features()->avx512_vnni;
}

static bool
has_amx(void)
{
	return cpu_features()->amx && has_avx512_bf16() && cpu_allow_tiles();
}

static bool
has_avx512_vnni(void)
{
	return cpu_features()->avx512_vnni;
}

static bool
has_avx512(void)
{
	return cpu_features()->avx512;
}

static bool
has_avx2_vnni(void)
{
	return cpu_features()->avx_vnni;
}

static bool
has_avx2(void)
{
	return cpu_features()->avx2;
}
#elif defined(__aarch64__)
static bool
has_neon_bf16(void)
{
	return cpu_features()->neon_bf16 && cpu_features()->neon_dotprod;
}

static bool
has_neon_dotprod(void)
{
	return cpu_features()->neon_dotprod;
}
#endif

/*
 * Also says whether OpenBLAS is installed: only asked where nothing better can run, or when it is
 * forced.
 */
static bool
has_blas(void)
{
	Status status;

	return blas_load(&status);
}

const KernelFamily kernel_families[] = {
#if defined(__x86_64__)
	{&kernels_amx, has_amx,
	 "AMX with bf16 and int8, AVX-512 VNNI and BF16, and Linux 5.16 or later"},
	{&kernels_avx512_bf16, has_avx512_bf16, "AVX-512 F, BW, DQ and VL"},
	{&kernels_avx512_vnni, has_avx512_vnni, "AVX-512 F, BW, DQ and VL"},
	{&kernels_avx512, has_avx512, "AVX-512 F, BW, DQ and VL"},
	{&kernels_avx2_vnni, has_avx2_vnni, "AVX2, FMA and F16C"},
	{&kernels_avx2, has_avx2, "AVX2, FMA and F16C"},
#elif defined(__aarch64__)
	{&kernels_neon_bf16, has_neon_bf16, "NEON"},
	{&kernels_neon_dotprod, has_neon_dotprod, "NEON"},
	{&kernels_neon, always, "NEON"},
#endif
	{&kernels_blas, has_blas, "the library OpenBLAS (on Debian: libopenblas0-pthread)"},
	{&kernels_portable, always, "nothing"},
	{NULL, NULL, NULL}};

static const char *const precision_names[PRECISION_COUNT] = {"fp32", "bf16", "int8"};

const char *
precision_name(Precision precision)
{
	return precision_names[precision];
}

bool
precision_parse(const char *name, Precision *precision, Status *status)
{
	int i = name_parse(name, "precision", precision_names, PRECISION_COUNT, status);

	if (i < 0)
		return false;
	*precision = (Precision) i;
	return true;
}

static void
unknown_kernel(const char *name, Status *status)
{
	const char *names[MAX_FAMILIES + 1] = {"auto"};
	const char *const *own = kernels_names();

	for (int i = 0; own[i] != NULL; i++)
		names[i + 1] = own[i];
	(void) name_parse(name, "kernel", names, MAX_FAMILIES + 1, status);
}

/*
 * Intel's cores start AVX-512's products of bf16 every other cycle: half as many of them as of fp32
 * a second. So they take the kernels that widen.
 */
static bool
is_slower(const Kernels *kernels)
{
#if defined(__x86_64__)
	return kernels == &kernels_avx512_bf16 && cpu_features()->intel;
#else
	(void) kernels;
	return false;
#endif
}

const Kernels *
kernels_choose(const char *name, Status *status)
{
	const KernelFamily *lacking = NULL;

	for (const KernelFamily *family = kernel_families; family->kernels != NULL; family++)
		if (strcmp(name, "auto") == 0 || strcmp(name, family->kernels->name) == 0)
		{
			if (is_slower(family->kernels))
				continue;
			if (family->usable())
				return family->kernels;
			lacking = family;
		}
	if (lacking != NULL)
	{
		status_fail(status, STATUS_UNSUPPORTED, "this machine cannot run the kernel \"%s\"", name);
		status_hint(status, "It needs %s. Set bert.kernel to auto.", lacking->needs);
		return NULL;
	}
	unknown_kernel(name, status);
	return NULL;
}

size_t
kernels_strassen_from(const Kernels *kernels)
{
	return cpu_features()->intel || kernels->strassen_min_rows == 0 ? SIZE_MAX
																	: kernels->strassen_min_rows;
}

const char *const *
kernels_names(void)
{
	static const char *names[MAX_FAMILIES + 1];

	for (int i = 0, n = 0; kernel_families[i].kernels != NULL && n < MAX_FAMILIES; i++)
		if (n == 0 || strcmp(names[n - 1], kernel_families[i].kernels->name) != 0)
			names[n++] = kernel_families[i].kernels->name;
	return names;
}
