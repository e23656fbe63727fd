/* amx.c: the kernels for CPUs with AMX, whose tiles multiply bf16 and bytes; the rest by AVX-512.
 */
#if defined(__x86_64__)

#define TARGET_NAME                                                  \
	"amx-tile,amx-int8,amx-bf16,avx512f,avx512bw,avx512dq,avx512vl," \
	"avx512vnni,avx512bf16,avx512vbmi,avx2,fma,f16c"
#define HAVE_VNNI
#define HAVE_BF16
#define HAVE_AMX
#define PANELS_OF "avx512" /* one copy in the cache serves both */
#include "kernels/vector_avx512.h"
#include "kernels/vector_table.h"

VECTOR_TABLE(kernels_amx, "amx", "AMX, AVX-512 VNNI BF16", 0x61350001, 0x61351001, 0x61352001);

#endif
