/* The decision of a stream, a hop of sound at a time.

   Sound begins with a hop louder than the silence level, which lies ABOVE dB over the lowest level
   of late. Where it ends (HOLD silent steps), or has lasted LONGEST steps, there is a decision for
   the likeliest class y. It is as sure as what was heard is near to what was learned of y:

     d = least distance of sqrt(spikes) from those of an utterance of y that was learned from
     s = d (3 - softmax(logits / DECISION_TEMPERATURE) of y) / 2
     sure = 1 / (1 + exp((s - DECISION_MIDDLE) / DECISION_WIDTH)) */
#include <math.h>
#include <string.h>

#include "decide.h"

#define ROOT_SCALE 16 /* roots are in bytes, in steps of 1/16 */

void ear_start(struct ear *e, struct features *f, struct model *m)
{
    memset(e, 0, sizeof *e);
    for (int i = 0; i < PIECES; i++)
        e->low[i] = LOWEST - ABOVE;
    features_start(f);
    model_start(m);
}

/* The mean power of a hop, in dB of full scale. */
static real decibels(const real *sound)
{
    const real per_ln = R(4.3429448190325183); /* 10 / ln 10 */
    real sum = R(0);
    for (int32_t i = 0; i < HOP; i++)
        sum += sound[i] * sound[i];
    return per_ln * LOG(sum / R(HOP) + R(1e-12));
}

/* Whether a hop of this level is silent; the lowest levels of late follow. */
static int is_silent(struct ear *e, real level)
{
    real *present = &e->low[PIECES - 1], floor = level;
    e->piece = (e->piece + 1) % PIECE;
    if (e->piece == 0) {
        memmove(e->low, e->low + 1, (PIECES - 1) * sizeof *e->low);
        *present = level;
    } else if (level < *present) {
        *present = level;
    }
    for (int i = 0; i < PIECES; i++)
        floor = e->low[i] < floor ? e->low[i] : floor;
    real needed = floor + ABOVE;
    return level < (needed < LOWEST ? LOWEST : needed);
}

static void count_spikes(struct ear *e, const struct model *m)
{
    const place *at;
    const state *amount;
    int32_t count = model_output(m, LAYERS - 1, &at, &amount);
    real early = EXP(R(1 - e->lasted) / EARLY);
    for (int32_t k = 0; k < count; k++) {
        real by = amount ? (real)amount[k] : R(1);
        e->spikes[at[k]] += by;
        e->spikes[OUTPUTS + at[k]] += by * early;
    }
}

/* The least distance of e->roots from utterances of the class; below 0: none is known. */
static real distance(const struct ear *e, int32_t label)
{
    int64_t least = -1;
    for (int32_t u = known_start[label]; u < known_start[label + 1]; u++) {
        const uint8_t *roots = known_roots + u * 2 * OUTPUTS;
        int64_t sum = 0;
        for (int32_t j = 0; j < 2 * OUTPUTS; j++) {
            int32_t d = roots[j] - e->roots[j];
            sum += d * d;
        }
        least = least < 0 || sum < least ? sum : least;
    }
    return least < 0 ? R(-1) : SQRT(R(least)) / R(ROOT_SCALE);
}

/* Sets e->label and e->sure. */
static void judge(struct ear *e, const struct model *m)
{
    real sum = R(0);
    e->label = model_answer(m);
    for (int32_t c = 0; c < CLASSES; c++) {
        real below = R(m->logits[c] - m->logits[e->label]) * LOGIT_UNIT;
        sum += EXP(below / DECISION_TEMPERATURE);
    }
    for (int32_t j = 0; j < 2 * OUTPUTS; j++) {
        real root = R(ROOT_SCALE) * SQRT(e->spikes[j]) + R(0.5);
        e->roots[j] = (uint8_t)(root < R(255) ? root : R(255));
    }
    real far = distance(e, e->label) * (R(3) - R(1) / sum) / R(2);
    e->sure = far < R(0) ? R(0) : R(1) / (R(1) + EXP((far - DECISION_MIDDLE) / DECISION_WIDTH));
}

int ear_step(struct ear *e, struct features *f, struct model *m, const real *sound)
{
    int found = HEARD_NOTHING, silent = is_silent(e, decibels(sound));
    features_step(f, sound, e->heard);
    for (int32_t j = 0; j < INPUTS; j++)
        e->x[j] = model_input(e->heard[j]);
    model_leak(m->logits, LISTEN_DECAY, CLASSES);
    model_step(m, e->x);
    e->quiet = silent ? e->quiet + (e->quiet < HOLD) : 0;
    if (silent && !e->sounding)
        return HEARD_NOTHING;
    e->sounding = 1;
    e->lasted++;
    count_spikes(e, m);
    if (e->quiet < HOLD && e->lasted < LONGEST)
        return HEARD_NOTHING;
    if (e->lasted - e->quiet >= CLICK) {
        judge(e, m);
        found = e->sure >= CONFIDENCE ? HEARD_WORD : HEARD_UNDECIDED;
    }
    e->sounding = e->quiet < HOLD;
    e->lasted = 0;
    memset(e->spikes, 0, sizeof e->spikes);
    return found;
}
