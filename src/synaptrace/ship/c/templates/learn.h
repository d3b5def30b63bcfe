/* Learning on the device: one sequence at a time, an update whenever the caller says. */
#ifndef LEARN_H
#define LEARN_H

#include "model.h"

/* All that learning needs; the caller gives one, beside the model. */
struct learner {
    real weight[LEARNED];   /* what is learned: layer by layer W and R, then the readout */
    real gradient[LEARNED]; /* since the last update */
    real moment[LEARNED];   /* Adam's first, or SGD's velocity */
#if ADAM
    real second[LEARNED];
    real power1, power2;    /* Adam's decays to the power of its updates */
#endif
    real trace[TRACES];
    real error[CLASSES];
#if TARGETS > 0
    real label_trace;
    real distance[CLASSES]; /* from the label's row to every row, a layer below */
    real target_membrane[CLASSES * TARGET_NEURONS]; /* layer by layer, class by class */
    real target_trace[CLASSES * TARGET_NEURONS];
    int32_t target_count[CLASSES * TARGETS];
    place target_spikes[CLASSES * TARGET_NEURONS];
    real presynaptic[PRESYNAPTIC];
    real local[TARGET_NEURONS]; /* the error of one row's membranes */
#endif
    real share; /* of this sequence in the update: 1 / sequences */
    int32_t label;
};

void learn_init(struct learner *l, struct model *m); /* once: the weights of model.c */
void learn_start(struct learner *l, struct model *m, int32_t label, real share);
void learn_step(struct learner *l, struct model *m, const real *x);
void learn_update(struct learner *l, real rate); /* and the gradient is zero again */
void learn_anchor(struct learner *l, real share); /* back by a share to the initial weights */

/* What was learned, as one piece to store: magic, version, identity, number of weights, weights
   (float32), checksum. Little-endian, whatever the processor. */
#define BLOB_VERSION 1
#define BLOB_BYTES (20 + 4 * LEARNED)
void learn_save(const struct learner *l, uint8_t *blob);      /* BLOB_BYTES */
int learn_load(struct learner *l, const uint8_t *blob, uint32_t bytes); /* 0: it doesn't fit */

#endif
