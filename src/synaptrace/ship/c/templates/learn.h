/* Learning on the device: one sequence at a time, an update whenever the caller says.

     learn_init      once, in place of model_init (which later would bring the first weights back)
     learn_start     before each sequence to learn from, with its label
     learn_step      for each step of it
     learn_update    after it, or after several, or after each step

   The model computes with what was learned at once: model_start and model_step recognise by it. A
   model points into its learner, which may not be moved; several such pairs don't interfere. */
#ifndef LEARN_H
#define LEARN_H

#include "model.h"

#if FIXED
typedef int32_t fraction; /* 24 bits after the point */
#define FRACTION(x) ((fraction)((x) * 16777216 + 0.5))
#if ADAM
#error "in whole numbers there is no Adam: SGD with momentum learns (ADAM 0)"
#endif
#else
typedef real fraction;
#define FRACTION(x) R(x)
#endif

/* All that learning needs; the caller gives one, beside the model. */
struct learner {
    stored weight[LEARNED];  /* what is learned: layer by layer W and R, then the readout */
    state gradient[LEARNED]; /* since the last update; in whole numbers SGD's velocity too */
#if FIXED
    int32_t room[BLOCKS];    /* how far each block's gradients are from an overflow, at least */
    uint32_t seed;           /* of the rounding; not 0 */
#else
    real moment[LEARNED];    /* Adam's first, or SGD's velocity */
#endif
#if ADAM
    real second[LEARNED];
    real power1, power2;     /* Adam's decays to the power of its updates */
#endif
    state trace[TRACES];     /* of the sample's spikes */
    state error[CLASSES];    /* of the contrast, or of the readout, at the step at hand */
#if TARGETS > 0
    state label_trace;       /* of a label, which is there at every step */
    state distance[CLASSES]; /* from the label's row to every row, a layer below */
    state target_membrane[CLASSES * TARGET_NEURONS]; /* layer by layer, class by class */
    state target_trace[CLASSES * TARGET_NEURONS];
    int32_t target_count[CLASSES * TARGETS];         /* of each row's spikes */
    place target_spikes[CLASSES * TARGET_NEURONS];   /* where they are */
    state presynaptic[PRESYNAPTIC]; /* traces that errors are multiplied with: struct learning */
    state local[TARGET_NEURONS];    /* the error of one row's membranes */
#endif
    fraction share; /* of this sequence in the update: 1 / sequences */
    int32_t label;
};

void learn_init(struct learner *l, struct model *m); /* once: the weights of model.c */
/* share and rate are a FRACTION(x), x at most 1 and 127; in floating point that is x. */
void learn_start(struct learner *l, struct model *m, int32_t label, fraction share);
void learn_step(struct learner *l, struct model *m, const input *x);
void learn_update(struct learner *l, fraction rate); /* gradients begin anew */
void learn_anchor(struct learner *l, fraction share); /* back by a share to model.c's weights */

/* What was learned, as one piece to store: magic, version, identity, number of weights, weights
   (float32; or the seed and int16), checksum. Little-endian, whatever the processor. */
#if FIXED
#define BLOB_VERSION 2
#define BLOB_BYTES (24 + 2 * LEARNED)
#else
#define BLOB_VERSION 1
#define BLOB_BYTES (20 + 4 * LEARNED)
#endif
void learn_save(const struct learner *l, uint8_t *blob);      /* BLOB_BYTES */
/* 1, or 0 where the blob is damaged, of another network, or has weights beyond their bounds: then
   nothing changes. After learn_init; gradients and moments begin anew. */
int learn_load(struct learner *l, const uint8_t *blob, uint32_t bytes);

#endif
