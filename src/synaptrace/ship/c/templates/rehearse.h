/* Against forgetting: with every sequence that is learned, one of those that were learned before. */
#ifndef REHEARSE_H
#define REHEARSE_H

#include "learn.h"

/* Learns from a stored sequence, drawn by the seed (not 0), which moves on. `x` is work space for
   INPUTS numbers. An update is the caller's matter, as after learn_step. */
void rehearse(struct learner *l, struct model *m, uint32_t *seed, fraction share, input *x);

#endif
