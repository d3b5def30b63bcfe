/* What the parts of learning have from each other: learn.c runs the streams, errors.c (in whole
   numbers errors_fixed.c) learns from them. */
#ifndef LEARN_PARTS_H
#define LEARN_PARTS_H

#include "learn.h"

int32_t learn_row(int32_t i, int32_t c); /* where row c of layer i's target stream begins */
void learn_label_distances(struct learner *l);
void learn_distances(struct learner *l, int32_t i); /* of the label's row to all rows of layer i */
void learn_layer(struct learner *l, const struct model *m, int32_t i);
void learn_readout(struct learner *l, const struct model *m);
void learn_forget(struct learner *l); /* gradients and moments */
/* w goes a share of the way to what stands in model.c: all of it, or back by a little. */
void learn_approach(struct learner *l, stored *w, const stored *initial, int32_t n, fraction share);

#endif
