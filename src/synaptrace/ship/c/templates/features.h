/* The front end's state; the caller gives one. */
#ifndef FEATURES_H
#define FEATURES_H

#include "model.h"

struct features {
    real sound[SIZE];            /* the last frame */
    real work[2][2 * HALF];      /* complex numbers */
#if RELATIVE
    real loudness, noise; /* the level, and what is lowest of late */
#endif
#if CROSSINGS
    real crossed[BANDS]; /* the levels of the last crossings */
#elif RELATIVE
    real last[BANDS], second[BANDS]; /* the power of the two frames before */
#else
    real last[BANDS], change[BANDS]; /* the levels of the frame before, and their change */
#endif
#if PCEN
    real smooth[BANDS]; /* the bands' recent loudness */
#endif
#if PCEN || CROSSINGS
    int32_t frames;     /* 0 before the first */
#endif
};

void features_start(struct features *f);                          /* silence before the sound */
void features_step(struct features *f, const real *sound, real *x); /* HOP samples to INPUTS */

#endif
