/* Words in a stream of sound without end: where one is, which, and how sure that is. */
#ifndef DECIDE_H
#define DECIDE_H

#include "features.h"

enum heard { HEARD_NOTHING, HEARD_WORD, HEARD_UNDECIDED };

/* What a stream keeps from step to step, beside the front end and the model. */
struct ear {
    real low[PIECES];     /* the lowest level of each piece of time, in dB, the present one last */
    int32_t piece;        /* steps of the present piece */
    int32_t sounding;     /* whether there is sound, else silence */
    int32_t lasted;       /* its steps */
    int32_t quiet;        /* silent steps in a row, at most HOLD */
    real spikes[2 * OUTPUTS]; /* that the last layer sent in it: all, and those of its beginning */
    uint8_t roots[2 * OUTPUTS];
    real heard[INPUTS];
    input x[INPUTS];
    /* the last decision */
    int32_t label;        /* the likeliest class */
    real sure;            /* the probability that it was said, from 0 to 1 */
};

void ear_start(struct ear *e, struct features *f, struct model *m);
/* HOP samples from -1 to 1; returns an enum heard: HEARD_UNDECIDED where `sure` is below
   CONFIDENCE. It does what features_step and model_step do, and goes on for ever. */
int ear_step(struct ear *e, struct features *f, struct model *m, const real *sound);

#endif
