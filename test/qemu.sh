#!/bin/bash
# The kernels, of inference and of training, on CPUs that this machine is not: AVX2 without AVX-512
# and baseline x86-64 under qemu-user, AArch64 cross-compiled and run under qemu-aarch64. Needs
# qemu-user and gcc-aarch64-linux-gnu; says which is missing and goes on. Seed: first argument.
set -u
cd "$(dirname "$0")/.."
seed=${1:-$RANDOM}
out=build/qemu
mkdir -p $out
flags='-std=gnu11 -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare'
flags="$flags -Isrc -Itest/unit -O2 -static"
sources="test/qemu/kernel_check.c $(ls src/kernels/*.c)"
sources="$sources src/core/names.c src/core/rng.c src/core/status.c"
failed=0

build() # compiler, program
{
	# a static program may not open OpenBLAS: the warning about dlopen is expected
	$1 $flags $sources -o $out/$2 -lm -ldl 2> $out/$2.log || { cat $out/$2.log; exit 1; }
}

check() # emulator, cpu, program
{
	command -v $1 > /dev/null || { echo "skipped: $1 is not installed"; return; }
	echo "# $1 -cpu $2"
	$1 -cpu $2 $out/$3 $seed || failed=1
}

build "${CC:-gcc}" kernel_check_x86
check qemu-x86_64 Haswell kernel_check_x86
check qemu-x86_64 qemu64 kernel_check_x86
if command -v aarch64-linux-gnu-gcc > /dev/null; then
	build aarch64-linux-gnu-gcc kernel_check_arm
	check qemu-aarch64 max kernel_check_arm
	check qemu-aarch64 cortex-a57 kernel_check_arm
else
	echo "skipped: aarch64-linux-gnu-gcc is not installed"
fi
exit $failed
