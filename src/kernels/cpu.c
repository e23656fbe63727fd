/* cpu.c: CPUID and XGETBV on x86, HWCAP on ARM. */
#include "kernels/cpu.h"

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)

#include <cpuid.h>

#define XCR0_AVX 0x06u      /* SSE and AVX state */
#define XCR0_AVX512 0xE6u   /* and opmask, upper halves, upper registers */
#define XCR0_TILES 0x60000u /* shapes of tiles, tiles */

static uint64_t
read_xcr0(void)
{
	uint32_t low;
	uint32_t high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return low | (uint64_t) high << 32;
}

static void
detect(CpuFeatures *cpu)
{
	uint32_t a, b, c, d;
	uint32_t leaf1_c;
	uint32_t leaf7_b;
	uint32_t leaf7_c;
	uint32_t leaf7_d;
	uint32_t subleaves;
	uint64_t xcr0;
	char vendor[13] = "";

	if (!__get_cpuid(0, &a, &b, &c, &d))
		return;
	memcpy(vendor, &b, 4);
	memcpy(vendor + 4, &d, 4);
	memcpy(vendor + 8, &c, 4);
	cpu->intel = strcmp(vendor, "GenuineIntel") == 0;
	if (!__get_cpuid(1, &a, &b, &leaf1_c, &d) || !(leaf1_c & bit_OSXSAVE))
		return;
	xcr0 = read_xcr0();
	if ((xcr0 & XCR0_AVX) != XCR0_AVX ||
		!__get_cpuid_count(7, 0, &subleaves, &leaf7_b, &leaf7_c, &leaf7_d))
		return;
	cpu->avx2 = (leaf7_b & bit_AVX2) && (leaf1_c & bit_FMA) && (leaf1_c & bit_F16C);
	a = 0;
	if (subleaves >= 1)
		(void) __get_cpuid_count(7, 1, &a, &b, &c, &d);
	cpu->avx_vnni = cpu->avx2 && (a >> 4 & 1);
	if ((xcr0 & XCR0_AVX512) != XCR0_AVX512 || !cpu->avx2)
		return;
	cpu->avx512 = (leaf7_b & bit_AVX512F) && (leaf7_b & bit_AVX512BW) && (leaf7_b & bit_AVX512DQ) &&
				  (leaf7_b & bit_AVX512VL);
	cpu->avx512_vnni = cpu->avx512 && (leaf7_c >> 11 & 1);
	cpu->avx512_bf16 = cpu->avx512 && (a >> 5 & 1);
	/* bf16, tiles, bytes; and AVX-512's permutations of bytes (VBMI) */
	cpu->amx = (xcr0 & XCR0_TILES) == XCR0_TILES && (leaf7_d >> 22 & 1) && (leaf7_d >> 24 & 1) &&
			   (leaf7_d >> 25 & 1) && cpu->avx512 && (leaf7_c >> 1 & 1);
}

#if defined(__linux__)

#include <sys/syscall.h>
#include <unistd.h>

/* of arch_prctl, which has no function in the C library; asm/prctl.h of 2022 has the name */
#define REQUEST_STATE_COMPONENT 0x1023 /* ARCH_REQ_XCOMP_PERM */
#define TILE_DATA 18

static bool
request_tiles(void)
{
	return syscall(SYS_arch_prctl, REQUEST_STATE_COMPONENT, TILE_DATA) == 0;
}

#else

static bool
request_tiles(void)
{
	return false;
}

#endif

#elif defined(__aarch64__)

#include <sys/auxv.h>

#ifndef HWCAP_ASIMDDP
#define HWCAP_ASIMDDP (1 << 20)
#endif
#ifndef HWCAP2_BF16
#define HWCAP2_BF16 (1 << 14)
#endif

static void
detect(CpuFeatures *cpu)
{
	cpu->neon = true;
	cpu->neon_dotprod = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
	cpu->neon_bf16 = (getauxval(AT_HWCAP2) & HWCAP2_BF16) != 0;
}

#else

static void
detect(CpuFeatures *cpu)
{
	(void) cpu;
}

#endif

const CpuFeatures *
cpu_features(void)
{
	static CpuFeatures cpu;
	static bool known;

	if (!known)
	{
		detect(&cpu);
		known = true;
	}
	return &cpu;
}

bool
cpu_allow_tiles(void)
{
#if defined(__x86_64__)
	static bool asked;
	static bool allowed;

	if (!asked)
	{
		allowed = cpu_features()->amx && request_tiles();
		asked = true;
	}
	return allowed;
#else
	return false;
#endif
}
