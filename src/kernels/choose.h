/* choose.h: the kernel families that are compiled in; only choose.c and tests look at them. */
#ifndef BERT_KERNELS_CHOOSE_H
#define BERT_KERNELS_CHOOSE_H

#include "kernels/kernels.h"

typedef struct KernelFamily
{
	const Kernels *kernels;
	bool		(*usable) (void);	/* on this CPU */
	const char *needs;			/* for messages */
} KernelFamily;

/* Best first; ends with a NULL kernels. */
extern const KernelFamily kernel_families[];

#endif
