/* blas.c: the only file that knows OpenBLAS. */
#include "kernels/blas.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/portable.h"

enum
{
	ROW_MAJOR = 101,
	NO_TRANSPOSE = 111,
	TRANSPOSE = 112
};

/* Parameters: cblas_sgemm's own. */
typedef void (*SgemmFunction)(int order, int transpose_a, int transpose_b, int m, int n, int k,
							  float alpha, const float *a, int lda, const float *b, int ldb,
							  float beta, float *c, int ldc);

#if defined(__x86_64__)
#define CORE_WITHOUT_AVX2 "Prescott"
#else
#define CORE_WITHOUT_AVX2 NULL
#endif

static SgemmFunction sgemm;
static char description[256] = "not loaded";

/* A variable that OpenBLAS reads while it is loaded; put back as it was afterwards. */
typedef struct Variable
{
	const char *name;
	char *saved; /* NULL: was not set */
} Variable;

static void
variable_set(Variable *variable, const char *name, const char *value)
{
	const char *old = getenv(name);

	variable->name = name;
	variable->saved = old == NULL ? NULL : strdup(old);
	setenv(name, value, 1);
}

static void
variable_restore(Variable *variable)
{
	if (variable->saved == NULL)
		unsetenv(variable->name);
	else
		setenv(variable->name, variable->saved, 1);
	free(variable->saved);
}

/*
 * OpenBLAS 0.3.21 takes AMD's AVX-512 cores for Zen and uses its Haswell kernels, at half the
 * speed. Its SkylakeX kernels run on every CPU with AVX-512 F, BW, DQ and VL. Other CPUs of AMD
 * that it does not know it takes for Opterons, whose 3DNow! instructions new and virtual ones lack:
 * without AVX2, SSE3 it is. NULL: let it choose.
 */
static const char *
core_type(void)
{
	const CpuFeatures *cpu = cpu_features();

	if (cpu->intel)
		return NULL;
	return cpu->avx512 ? "SkylakeX" : cpu->avx2 ? NULL : CORE_WITHOUT_AVX2;
}

static void
describe(void *library)
{
	const char *(*config)(void) = (const char *(*) (void) ) dlsym(library, "openblas_get_config");
	const char *(*core)(void) = (const char *(*) (void) ) dlsym(library, "openblas_get_corename");
	const char *build = config != NULL ? config() : "";
	const char *running = core != NULL ? core() : "";

	if (strstr(build, running) != NULL)
		running = "";
	snprintf(description, sizeof description, "%s%s%s", build, running[0] != '\0' ? " " : "",
			 running);
}

bool
blas_load(Status *status)
{
	Variable threads;
	Variable core = {NULL, NULL};
	void *library;

	if (sgemm != NULL)
		return true;
	variable_set(&threads, "OPENBLAS_NUM_THREADS", "1");
	if (core_type() != NULL && getenv("OPENBLAS_CORETYPE") == NULL)
		variable_set(&core, "OPENBLAS_CORETYPE", core_type());
	library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
	variable_restore(&threads);
	if (core.name != NULL)
		variable_restore(&core);
	if (library != NULL)
		*(void **) &sgemm = dlsym(library, "cblas_sgemm");
	if (sgemm == NULL)
	{
		status_fail(status, STATUS_NOT_FOUND, "could not load OpenBLAS: %s", dlerror());
		return status_hint(
			status, "Install libopenblas0 (on Debian: apt-get install libopenblas0-pthread).");
	}
	describe(library);
	return true;
}

const char *
blas_description(void)
{
	return description;
}

void
blas_sgemm(const SgemmCall *call)
{
	if (call->m == 0 || call->n == 0)
		return;
	sgemm(ROW_MAJOR, call->transpose_a ? TRANSPOSE : NO_TRANSPOSE,
		  call->transpose_b ? TRANSPOSE : NO_TRANSPOSE, (int) call->m, (int) call->n, (int) call->k,
		  1.0f, call->a, (int) call->lda, call->b, (int) call->ldb, call->accumulate ? 1.0f : 0.0f,
		  call->c, (int) call->ldc);
}
