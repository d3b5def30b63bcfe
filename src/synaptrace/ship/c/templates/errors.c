/* What is learned from a step, and an update, in floating point; the equations are in learn.c. */
#include <math.h>
#include <string.h>

#include "learn_parts.h"

#define ADAM_DECAY1 R(0.9)
#define ADAM_DECAY2 R(0.999)
#define ADAM_SMALL R(1e-8)
#define MOMENTUM R(0.9)
#define SHIFT R(1e-9) /* added to differences, as the published code does */

void learn_approach(struct learner *l, real *w, const real *initial, int32_t n, real share)
{
    (void)l;
    for (int32_t i = 0; i < n; i++)
        w[i] = share == R(1) ? initial[i] : w[i] + share * (initial[i] - w[i]);
}

/* x := softmax(x) */
static void softmax(real *x)
{
    real most = x[0], sum = R(0);
    for (int32_t c = 1; c < CLASSES; c++)
        if (x[c] > most)
            most = x[c];
    for (int32_t c = 0; c < CLASSES; c++) {
        x[c] = EXP(x[c] - most);
        sum += x[c];
    }
    for (int32_t c = 0; c < CLASSES; c++)
        x[c] /= sum;
}

/* gradient[input][neuron] += x[input] error[neuron], for the inputs that are not zero */
static void outer(real *gradient, const real *x, int32_t inputs, const real *error, int32_t n)
{
    for (int32_t j = 0; j < inputs; j++)
        if (x[j] != R(0))
            model_add(gradient + j * n, error, x[j], n);
}

#if TARGETS > 0
/* The surrogate: how much a spike would change with its membrane. */
static real slope(real from_threshold)
{
#if SURROGATE == 1 /* ATAN */
    const real pi = R(3.14159265358979323846);
    return SCALE / (R(1) + pi * pi * from_threshold * from_threshold);
#elif SURROGATE == 2 /* FAST_SIGMOID */
    real d = R(1) + SCALE * (from_threshold < R(0) ? -from_threshold : from_threshold);
    return R(1) / (d * d);
#else
    real d = R(1) - (from_threshold < R(0) ? -from_threshold : from_threshold);
    return d > R(0) ? SCALE * d : R(0);
#endif
}

/* tau: given, or the variance of the rows over the margin, at least 1. */
static real temperature(const real *rows, int32_t n)
{
    if (TEMPERATURE > R(0))
        return TEMPERATURE;
    real sum = R(0);
    for (int32_t j = 0; j < n; j++) {
        real mean = R(0);
        for (int32_t c = 0; c < CLASSES; c++)
            mean += rows[c * n + j];
        mean /= R(CLASSES);
        for (int32_t c = 0; c < CLASSES; c++) {
            real d = rows[c * n + j] - mean;
            sum += d * d;
        }
    }
    real tau = sum / R(CLASSES - 1) / MARGIN;
    return tau > R(1) ? tau : R(1);
}

/* E / tau of layer i, in l->error. */
static void contrast(struct learner *l, int32_t i)
{
    int32_t n = layers[i].neurons;
    const real *z = l->trace + layers[i].first, *rows = l->target_trace + learn_row(i, 0);
    real tau = temperature(rows, n);
    for (int32_t c = 0; c < CLASSES; c++) {
        real sum = R(0);
        for (int32_t j = 0; j < n; j++)
            sum += z[j] * rows[c * n + j];
        l->error[c] = sum / tau;
        l->distance[c] = -l->distance[c];
    }
    softmax(l->error);
    softmax(l->distance);
    for (int32_t c = 0; c < CLASSES; c++)
        l->error[c] = (l->error[c] - l->distance[c]) * l->share / tau;
}

/* One row's weights of layer i: g is in l->local. */
static void accumulate(struct learner *l, int32_t i, int32_t c)
{
    const struct learning *how = &learnings[i];
    int32_t inputs = layers[i].inputs, n = layers[i].neurons;
    if (how->weight >= 0)
        outer(l->gradient + how->weight, l->presynaptic + how->input_trace + c * inputs, inputs,
              l->local, n);
    if (how->recurrent >= 0)
        outer(l->gradient + how->recurrent, l->presynaptic + how->recurrent_trace + c * n, n,
              l->local, n);
}

void learn_layer(struct learner *l, const struct model *m, int32_t i)
{
    const struct layer *layer = &layers[i];
    int32_t n = layer->neurons;
    const real *v = m->membrane + layer->first;
    const real *rows = l->target_trace + learn_row(i, 0);
    contrast(l, i);
    for (int32_t j = 0; j < n; j++)
        l->local[j] = R(0);
    for (int32_t c = 0; c < CLASSES; c++)
        model_add(l->local, rows + c * n, l->error[c], n);
    for (int32_t j = 0; j < n; j++)
        l->local[j] *= slope(v[j] - layer->threshold);
    accumulate(l, i, 0);
#if TARGETS > 1
    const real *z = l->trace + layer->first;
    for (int32_t c = 0; i > 0 && c < CLASSES; c++) {
        const real *vc = l->target_membrane + learn_row(i, c);
        for (int32_t j = 0; j < n; j++)
            l->local[j] = l->error[c] * z[j] * slope(vc[j] - layer->threshold);
        accumulate(l, i, 1 + c);
    }
#endif
}

void learn_distances(struct learner *l, int32_t i)
{
    int32_t n = layers[i].neurons;
    const real *rows = l->target_trace + learn_row(i, 0), *near = rows + l->label * n;
    for (int32_t c = 0; c < CLASSES; c++) {
        real sum = R(0);
        for (int32_t j = 0; j < n; j++) {
            real d = near[j] + SHIFT - rows[c * n + j];
            sum += d * d;
        }
        l->distance[c] = SQRT(sum);
    }
}

void learn_label_distances(struct learner *l)
{
    l->label_trace = LABEL_DECAY * l->label_trace + R(1);
    for (int32_t c = 0; c < CLASSES; c++)
        l->distance[c] = c == l->label ? SHIFT * SQRT(R(CLASSES)) : SQRT(R(2)) * l->label_trace;
}

#endif

#if LEARNED_READOUT >= 0
void learn_readout(struct learner *l, const struct model *m)
{
    memcpy(l->error, m->logits, sizeof l->error);
    softmax(l->error);
    l->error[l->label] -= R(1);
    for (int32_t c = 0; c < CLASSES; c++)
        l->error[c] *= l->share;
    outer(l->gradient + LEARNED_READOUT, l->trace + TRACES - OUTPUTS, OUTPUTS, l->error, CLASSES);
}
#endif

void learn_forget(struct learner *l)
{
    memset(l->gradient, 0, sizeof l->gradient);
    memset(l->moment, 0, sizeof l->moment);
#if ADAM
    memset(l->second, 0, sizeof l->second);
    l->power1 = l->power2 = R(1);
#endif
}

void learn_update(struct learner *l, real rate)
{
#if ADAM
    l->power1 *= ADAM_DECAY1;
    l->power2 *= ADAM_DECAY2;
    real size = rate / (R(1) - l->power1), root = SQRT(R(1) - l->power2);
#endif
    for (int32_t i = 0; i < LEARNED; i++) {
        real g = l->gradient[i];
#if ADAM
        l->moment[i] += (g - l->moment[i]) * (R(1) - ADAM_DECAY1);
        l->second[i] = l->second[i] * ADAM_DECAY2 + (R(1) - ADAM_DECAY2) * g * g;
        l->weight[i] -= size * l->moment[i] / (SQRT(l->second[i]) / root + ADAM_SMALL);
#else
        l->moment[i] = MOMENTUM * l->moment[i] + g;
        l->weight[i] -= rate * l->moment[i];
#endif
        l->gradient[i] = R(0);
    }
}

