/* What is learned from a step, and an update, in whole numbers; the equations are in learn.c.

   Bits after the point: traces 10, similarities and distances 12, probabilities and slopes 16. An
   error of a membrane is rounded to 12 bits, up or down by chance in proportion, and a trace to 4,
   so that their product is a gradient of 16 bits, exactly. An update is rounded by chance to
   weights of int16: small steps are kept in the mean. Gradients and weights stop at their bounds;
   nothing overflows. >> of a negative number rounds down. */
#include <string.h>

#include "learn_parts.h"

#define MOST INT32_MAX
#define ONE 65536        /* 16 bits */
#define MOMENTUM 58982   /* 0.9 */
#define LOG2_E 94548     /* of 1 / ln 2 */
#define ROOT_2 92682
#define PI_SQUARE 40426  /* 12 bits */

/* Marsaglia, J. Stat. Softw. 8(14), 2003: xorshift. */
static uint32_t draw(struct learner *l)
{
    l->seed ^= l->seed << 13;
    l->seed ^= l->seed >> 17;
    l->seed ^= l->seed << 5;
    return l->seed;
}

static int32_t within(int64_t value, int32_t most)
{
    return (int32_t)(value > most ? most : value < -most ? -most : value);
}

/* 16 bits less, up or down by chance. */
static int64_t rounded(int64_t value, uint32_t drawn)
{
    return (value + (int64_t)(drawn & 65535u)) >> 16;
}

void learn_approach(struct learner *l, stored *w, const stored *initial, int32_t n, fraction share)
{
    for (int32_t i = 0; i < n; i++) {
        int64_t step = (int64_t)share * (initial[i] - w[i]);
        w[i] = (stored)(share == FRACTION(1) ? initial[i] : w[i] + rounded(step >> 8, draw(l)));
    }
}

/* x := softmax(x): of 12 bits, into 16; powers are those of 2 from 1 down to a half. */
static void softmax(int32_t *x)
{
    int32_t most = x[0];
    uint32_t sum = 0;
    for (int32_t c = 1; c < CLASSES; c++)
        if (x[c] > most)
            most = x[c];
    for (int32_t c = 0; c < CLASSES; c++) {
        uint64_t below = ((uint64_t)((int64_t)most - x[c]) * LOG2_E) >> 12;
        uint32_t part = (uint32_t)below & 65535u, k = part >> 10;
        uint32_t power = powers[k] - ((uint32_t)(powers[k] - powers[k + 1]) * (part & 1023u) >> 10);
        x[c] = below >> 16 > 15 ? 0 : (int32_t)(power >> (below >> 16));
        sum += (uint32_t)x[c];
    }
    for (int32_t c = 0; c < CLASSES; c++)
        x[c] = (int32_t)(((uint32_t)x[c] << 16) / sum);
}

/* The largest size of n numbers. */
static int32_t largest(const int32_t *x, int32_t n)
{
    int32_t most = 0;
    for (int32_t j = 0; j < n; j++)
        if ((x[j] < 0 ? -x[j] : x[j]) > most)
            most = x[j] < 0 ? -x[j] : x[j];
    return most;
}

/* gradient += x error, x rounded to 4 bits; where there is no room for it, with a look at each. */
static void outer(int32_t *gradient, int32_t *room, const int32_t *x, int32_t inputs,
                  const int32_t *error, int32_t n)
{
    int64_t most = (((int64_t)largest(x, inputs) + 32) >> 6) * largest(error, n);
    int safe = most <= *room;
    *room = safe ? *room - (int32_t)most : 0;
    for (int32_t j = 0; j < inputs; j++, gradient += n) {
        int32_t by = (x[j] + 32) >> 6;
        if (by == 0)
            continue;
        if (safe)
            for (int32_t i = 0; i < n; i++)
                gradient[i] += by * error[i];
        else
            for (int32_t i = 0; i < n; i++)
                gradient[i] = within(gradient[i] + (int64_t)by * error[i], MOST);
    }
}

/* `value`, of `point` bits, in 12 bits. */
static int32_t in_twelve(int64_t value, int32_t point)
{
    return within(point > 12 ? value >> (point - 12) : value * (1 << (12 - point)), MOST);
}

#if TARGETS > 0
/* The surrogate, of 16 bits: how much a spike would change with its membrane. */
static int32_t slope(int64_t from_threshold, int32_t point)
{
    int32_t signed_d = in_twelve(from_threshold, point);
    uint64_t d = (uint64_t)(signed_d < 0 ? -(int64_t)signed_d : signed_d);
#if SURROGATE == 1 /* ATAN */
    d = d > 1u << 19 ? 1u << 19 : d;
    uint64_t below = 4096 + ((d * d >> 12) * PI_SQUARE >> 12);
    return (int32_t)(((uint32_t)SCALE << 12) / (uint32_t)below);
#elif SURROGATE == 2 /* FAST_SIGMOID */
    d = 4096 + (d * SCALE >> 16);
    d = d > 1u << 21 ? 1u << 21 : d;
    return (int32_t)((1u << 28) / (uint32_t)(d * d >> 12));
#else
    return d < 4096 ? (int32_t)((4096 - d) * SCALE >> 12) : 0;
#endif
}

/* 1 / tau, tau given, or the variance of the rows over the margin, at least 1. */
static int64_t inverse_temperature(const int32_t *rows, int32_t n)
{
    if (INVERSE_TEMPERATURE)
        return INVERSE_TEMPERATURE;
    int64_t sum = 0;
    for (int32_t j = 0; j < n; j++) {
        int64_t square = 0, all = 0;
        for (int32_t c = 0; c < CLASSES; c++) {
            int64_t each = rows[c * n + j];
            square += each * each;
            all += each;
        }
        sum += CLASSES * square - all * all;
    }
    int64_t tau = sum / PAIRS_MARGIN;
    return tau > ONE ? ((int64_t)1 << 32) / tau : ONE;
}

/* E of layer i, in l->error; returns share / tau. */
static int64_t contrast(struct learner *l, int32_t i)
{
    int32_t n = layers[i].neurons;
    const int32_t *z = l->trace + layers[i].first, *rows = l->target_trace + learn_row(i, 0);
    int64_t inverse = inverse_temperature(rows, n);
    for (int32_t c = 0; c < CLASSES; c++) {
        int64_t sum = 0;
        for (int32_t j = 0; j < n; j++)
            sum += (int64_t)z[j] * rows[c * n + j];
        l->error[c] = within((sum >> 8) * inverse >> 16, MOST);
        l->distance[c] = -l->distance[c];
    }
    softmax(l->error);
    softmax(l->distance);
    for (int32_t c = 0; c < CLASSES; c++)
        l->error[c] -= l->distance[c];
    return inverse * l->share >> 24;
}

/* A membrane's error: error and trace (26 bits) by share / tau and the slope, in 12 bits. */
static int32_t local(struct learner *l, int64_t product, int64_t factor, int32_t sloped)
{
    int64_t whole = within((product >> 10) * factor >> 8, MOST);
    return (int32_t)rounded(whole * sloped >> 12, draw(l));
}

/* One row's weights of layer i: g is in l->local. */
static void accumulate(struct learner *l, int32_t i, int32_t c)
{
    const struct learning *how = &learnings[i];
    int32_t inputs = layers[i].inputs, n = layers[i].neurons;
    if (how->weight >= 0)
        outer(l->gradient + how->weight, &l->room[2 * i],
              l->presynaptic + how->input_trace + c * inputs, inputs, l->local, n);
    if (how->recurrent >= 0)
        outer(l->gradient + how->recurrent, &l->room[2 * i + 1],
              l->presynaptic + how->recurrent_trace + c * n, n, l->local, n);
}

void learn_layer(struct learner *l, const struct model *m, int32_t i)
{
    const struct layer *layer = &layers[i];
    int32_t n = layer->neurons, point = learnings[i].point;
    const int32_t *v = m->membrane + layer->first;
    const int32_t *rows = l->target_trace + learn_row(i, 0);
    int64_t factor = contrast(l, i);
    for (int32_t j = 0; j < n; j++) {
        int64_t sum = 0;
        for (int32_t c = 0; c < CLASSES; c++)
            sum += (int64_t)l->error[c] * rows[c * n + j];
        l->local[j] = local(l, sum, factor, slope((int64_t)v[j] - layer->threshold, point));
    }
    accumulate(l, i, 0);
#if TARGETS > 1
    const int32_t *z = l->trace + layer->first;
    for (int32_t c = 0; i > 0 && c < CLASSES; c++) {
        const int32_t *vc = l->target_membrane + learn_row(i, c);
        for (int32_t j = 0; j < n; j++)
            l->local[j] = local(l, (int64_t)l->error[c] * z[j], factor,
                                slope((int64_t)vc[j] - layer->threshold, point));
        accumulate(l, i, 1 + c);
    }
#endif
}

static uint32_t root(uint64_t value)
{
    uint64_t found = 0;
    for (uint64_t bit = (uint64_t)1 << 31; bit; bit >>= 1)
        if ((found + bit) * (found + bit) <= value)
            found += bit;
    return (uint32_t)found;
}

void learn_distances(struct learner *l, int32_t i)
{
    int32_t n = layers[i].neurons;
    const int32_t *rows = l->target_trace + learn_row(i, 0), *near = rows + l->label * n;
    if (i + 1 == TARGETS) /* nothing above learns */
        return;
    for (int32_t c = 0; c < CLASSES; c++) {
        uint64_t sum = 0;
        for (int32_t j = 0; j < n; j++) {
            int64_t d = (int64_t)near[j] - rows[c * n + j];
            sum += (uint64_t)(d * d);
        }
        l->distance[c] = within(root(sum << 4), MOST);
    }
}

void learn_label_distances(struct learner *l)
{
    model_leak(&l->label_trace, LABEL_DECAY, 1);
    l->label_trace += UNIT;
    int32_t apart = within((int64_t)l->label_trace * ROOT_2 >> 14, MOST);
    for (int32_t c = 0; c < CLASSES; c++)
        l->distance[c] = c == l->label ? 0 : apart;
}
#endif

#if LEARNED_READOUT >= 0
void learn_readout(struct learner *l, const struct model *m)
{
    for (int32_t c = 0; c < CLASSES; c++)
        l->error[c] = in_twelve(m->logits[c], READOUT_POINT);
    softmax(l->error);
    l->error[l->label] -= ONE;
    for (int32_t c = 0; c < CLASSES; c++)
        l->error[c] = (int32_t)rounded((int64_t)l->error[c] * l->share >> 12, draw(l));
    outer(l->gradient + LEARNED_READOUT, &l->room[BLOCKS - 1], l->trace + TRACES - OUTPUTS,
          OUTPUTS, l->error, CLASSES);
}
#endif

void learn_forget(struct learner *l)
{
    memset(l->gradient, 0, sizeof l->gradient);
    for (int32_t i = 0; i < BLOCKS; i++)
        l->room[i] = MOST;
}

/* Of n weights of `scale` bits after the point; a gradient becomes what it is of the velocity. */
static void update(struct learner *l, int32_t at, int32_t n, fraction rate, int32_t scale,
                   int32_t most, int32_t *room)
{
    stored *w = l->weight + at;
    int32_t *gradient = l->gradient + at;
    for (int32_t i = 0; i < n; i++) {
        uint32_t drawn = draw(l);
        int64_t step = (int64_t)rate * gradient[i] >> (24 - scale);
        w[i] = (stored)within(w[i] - rounded(step, drawn), most);
        gradient[i] = (int32_t)rounded((int64_t)gradient[i] * MOMENTUM, drawn >> 16);
    }
    *room = MOST - largest(gradient, n);
}

void learn_update(struct learner *l, fraction rate)
{
#if TARGETS > 0
    for (int32_t i = 0; i < TARGETS; i++) {
        const struct learning *how = &learnings[i];
        int32_t inputs = layers[i].inputs, n = layers[i].neurons;
        if (how->weight >= 0)
            update(l, how->weight, inputs * n, rate, how->scale, how->most, &l->room[2 * i]);
        if (how->recurrent >= 0)
            update(l, how->recurrent, n * n, rate, how->own_scale, how->own_most,
                   &l->room[2 * i + 1]);
    }
#endif
#if LEARNED_READOUT >= 0
    update(l, LEARNED_READOUT, OUTPUTS * CLASSES, rate, READOUT_SCALE, READOUT_MOST,
           &l->room[BLOCKS - 1]);
#endif
}
