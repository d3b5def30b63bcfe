/* Traces Propagation with the class contrast (arXiv 2509.13053), for one sequence at a time.

   The sample's stream runs on its input, a stream for each class on its label. With z the sample's
   traces and Y the classes' in a layer, y the sample's class and D distances one layer below:

     A = z Y' / tau     E = (softmax(A) - softmax(-D of y)) share
     g  = (E Y / tau) slope(v - threshold)          of the sample
     gc = (Ec z / tau) slope(vc - threshold)        of class c
     dW = g x + gc xc,  dR = g s + gc sc            layer 1: of the sample alone
     dWo = (softmax(m) - y) z share

   x and s are the inputs and the layer's own spikes of the step before, filtered by
   presynaptic_decay. Nothing grows with time. */
#include <math.h>
#include <string.h>

#include "learn.h"

#define ADAM_DECAY1 R(0.9)
#define ADAM_DECAY2 R(0.999)
#define ADAM_SMALL R(1e-8)
#define MOMENTUM R(0.9)
#define SHIFT R(1e-9) /* added to differences, as the published code does */

static void connect(struct learner *l, struct model *m)
{
    (void)l;
#if TARGETS > 0
    for (int32_t i = 0; i < TARGETS; i++) {
        if (learnings[i].weight >= 0)
            m->weight[i] = l->weight + learnings[i].weight;
        if (learnings[i].recurrent >= 0)
            m->recurrent[i] = l->weight + learnings[i].recurrent;
    }
#endif
#if LEARNED_READOUT >= 0
    m->readout = l->weight + LEARNED_READOUT;
#endif
}

/* w goes a share of the way to what stands in model.c: all of it, or back by a little. */
static void approach(real *w, const stored *initial, int32_t n, real share)
{
    for (int32_t i = 0; i < n; i++)
        w[i] = share == R(1) ? initial[i] : w[i] + share * (initial[i] - w[i]);
}

void learn_anchor(struct learner *l, real share)
{
#if TARGETS > 0
    for (int32_t i = 0; i < TARGETS; i++) {
        const struct learning *k = &learnings[i];
        int32_t n = layers[i].neurons;
        if (k->weight >= 0)
            approach(l->weight + k->weight, layers[i].weight, layers[i].inputs * n, share);
        if (k->recurrent >= 0)
            approach(l->weight + k->recurrent, layers[i].recurrent, n * n, share);
    }
#endif
#if LEARNED_READOUT >= 0
    approach(l->weight + LEARNED_READOUT, readout_weight, OUTPUTS * CLASSES, share);
#endif
}

void learn_init(struct learner *l, struct model *m)
{
    model_init(m);
    memset(l, 0, sizeof *l);
#if ADAM
    l->power1 = l->power2 = R(1);
#endif
    learn_anchor(l, R(1));
    connect(l, m);
}

static void zero(real *at, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        at[i] = R(0);
}

void learn_start(struct learner *l, struct model *m, int32_t label, real share)
{
    model_start(m);
    zero(l->trace, TRACES);
#if TARGETS > 0
    zero(l->target_membrane, CLASSES * TARGET_NEURONS);
    zero(l->target_trace, CLASSES * TARGET_NEURONS);
    zero(l->presynaptic, PRESYNAPTIC);
    memset(l->target_count, 0, sizeof l->target_count);
    l->label_trace = R(0);
#endif
    l->label = label;
    l->share = share;
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

/* gradient += x error, for the inputs that are not zero */
static void outer(real *gradient, const real *x, int32_t inputs, const real *error, int32_t n)
{
    for (int32_t j = 0; j < inputs; j++)
        if (x[j] != R(0))
            model_add(gradient + j * n, error, x[j], n);
}

#if TARGETS > 0
static void follow(real *trace, real decay, int32_t n, const place *spikes, int32_t count)
{
    model_leak(trace, decay, n);
    for (int32_t k = 0; k < count; k++)
        trace[spikes[k]] += R(1);
}

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

static real threshold_of_targets(int32_t i)
{
    return i ? layers[i].threshold : LABEL_THRESHOLD;
}

/* Row c of layer i's target stream. */
static int32_t row(int32_t i, int32_t c)
{
    return CLASSES * layers[i].first + c * layers[i].neurons;
}

/* What a row's weights are multiplied with, moved on: from the spikes below and its own last. */
static void presynaptic(struct learner *l, int32_t i, int32_t c, const place *below,
                        int32_t below_count, const place *own, int32_t own_count)
{
    const struct learning *k = &learnings[i];
    if (k->weight >= 0)
        follow(l->presynaptic + k->input_trace + c * layers[i].inputs, k->presynaptic_decay,
               layers[i].inputs, below, below_count);
    if (k->recurrent >= 0)
        follow(l->presynaptic + k->recurrent_trace + c * layers[i].neurons, k->presynaptic_decay,
               layers[i].neurons, own, own_count);
}

static void add_rows(real *membrane, const real *weight, const place *at, int32_t count, int32_t n)
{
    for (int32_t k = 0; k < count; k++)
        model_add(membrane, weight + at[k] * n, R(1), n);
}

/* The sample's membranes and spikes of layer i. */
static void run_sample(struct learner *l, struct model *m, int32_t i, const real *x)
{
    const struct layer *a = &layers[i];
    const struct learning *k = &learnings[i];
    int32_t n = a->neurons;
    real *membrane = m->membrane + a->first;
    place *spikes = m->spikes + a->first;
    model_leak(membrane, a->decay, n);
    if (i == 0) {
        for (int32_t j = 0; j < INPUTS; j++)
            if (x[j] != R(0))
                model_add(membrane, m->weight[0] + j * n, x[j], n);
        presynaptic(l, 0, 0, spikes, 0, spikes, m->count[0]);
        if (k->weight >= 0)
            for (int32_t j = 0; j < INPUTS; j++)
                l->presynaptic[k->input_trace + j] += x[j];
    } else {
        const place *below = m->spikes + layers[i - 1].first;
        add_rows(membrane, m->weight[i], below, m->count[i - 1], n);
        presynaptic(l, i, 0, below, m->count[i - 1], spikes, m->count[i]);
    }
    if (m->recurrent[i])
        add_rows(membrane, m->recurrent[i], spikes, m->count[i], n);
    m->count[i] = model_fire(membrane, a->threshold, n, spikes);
    follow(l->trace + a->first, k->trace_decay, n, spikes, m->count[i]);
}

/* The membranes and spikes of class c in layer i. */
static void run_target(struct learner *l, struct model *m, int32_t i, int32_t c)
{
    const struct layer *a = &layers[i];
    int32_t n = a->neurons, at = row(i, c);
    real *membrane = l->target_membrane + at;
    place *spikes = l->target_spikes + at;
    int32_t *count = l->target_count + CLASSES * i + c;
    const real *recurrent = i ? m->recurrent[i] : label_recurrent;
    model_leak(membrane, a->decay, n);
    if (i == 0) {
        model_add(membrane, label_weight + c * n, R(1), n);
    } else {
        const place *below = l->target_spikes + row(i - 1, c);
        int32_t below_count = l->target_count[CLASSES * (i - 1) + c];
        add_rows(membrane, m->weight[i], below, below_count, n);
        presynaptic(l, i, 1 + c, below, below_count, spikes, *count);
    }
    if (recurrent)
        add_rows(membrane, recurrent, spikes, *count, n);
    *count = model_fire(membrane, threshold_of_targets(i), n, spikes);
    follow(l->target_trace + at, learnings[i].trace_decay, n, spikes, *count);
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
    const real *z = l->trace + layers[i].first, *rows = l->target_trace + row(i, 0);
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
    const struct learning *k = &learnings[i];
    int32_t inputs = layers[i].inputs, n = layers[i].neurons;
    if (k->weight >= 0)
        outer(l->gradient + k->weight, l->presynaptic + k->input_trace + c * inputs, inputs,
              l->local, n);
    if (k->recurrent >= 0)
        outer(l->gradient + k->recurrent, l->presynaptic + k->recurrent_trace + c * n, n,
              l->local, n);
}

static void learn_layer(struct learner *l, const struct model *m, int32_t i)
{
    const struct layer *a = &layers[i];
    int32_t n = a->neurons;
    const real *v = m->membrane + a->first, *z = l->trace + a->first;
    const real *rows = l->target_trace + row(i, 0);
    zero(l->local, n);
    for (int32_t c = 0; c < CLASSES; c++)
        model_add(l->local, rows + c * n, l->error[c], n);
    for (int32_t j = 0; j < n; j++)
        l->local[j] *= slope(v[j] - a->threshold);
    accumulate(l, i, 0);
    for (int32_t c = 0; i > 0 && c < CLASSES; c++) {
        const real *vc = l->target_membrane + row(i, c);
        for (int32_t j = 0; j < n; j++)
            l->local[j] = l->error[c] * z[j] * slope(vc[j] - a->threshold);
        accumulate(l, i, 1 + c);
    }
}

static void reset_all(struct learner *l, struct model *m, int32_t i)
{
    const struct layer *a = &layers[i];
    model_reset(m->membrane + a->first, a, a->threshold, m->spikes + a->first, m->count[i]);
    for (int32_t c = 0; c < CLASSES; c++)
        model_reset(l->target_membrane + row(i, c), a, threshold_of_targets(i),
                    l->target_spikes + row(i, c), l->target_count[CLASSES * i + c]);
}

/* How far the label's row is from every row of layer i. */
static void measure(struct learner *l, int32_t i)
{
    int32_t n = layers[i].neurons;
    const real *rows = l->target_trace + row(i, 0), *near = rows + l->label * n;
    for (int32_t c = 0; c < CLASSES; c++) {
        real sum = R(0);
        for (int32_t j = 0; j < n; j++) {
            real d = near[j] + SHIFT - rows[c * n + j];
            sum += d * d;
        }
        l->distance[c] = SQRT(sum);
    }
}

static void measure_labels(struct learner *l)
{
    l->label_trace = LABEL_DECAY * l->label_trace + R(1);
    for (int32_t c = 0; c < CLASSES; c++)
        l->distance[c] = c == l->label ? SHIFT * SQRT(R(CLASSES)) : SQRT(R(2)) * l->label_trace;
}
#endif

#if LEARNED_READOUT >= 0
static void learn_readout(struct learner *l, const struct model *m)
{
#if TARGETS < LAYERS
    const place *at;
    const real *amount;
    int32_t count = model_output(m, LAYERS - 1, &at, &amount);
    model_leak(l->trace + TRACES - OUTPUTS, READOUT_TRACE_DECAY, OUTPUTS);
    for (int32_t k = 0; k < count; k++)
        l->trace[TRACES - OUTPUTS + at[k]] += amount ? amount[k] : R(1);
#endif
    memcpy(l->error, m->logits, sizeof l->error);
    softmax(l->error);
    l->error[l->label] -= R(1);
    for (int32_t c = 0; c < CLASSES; c++)
        l->error[c] *= l->share;
    outer(l->gradient + LEARNED_READOUT, l->trace + TRACES - OUTPUTS, OUTPUTS, l->error, CLASSES);
}
#endif

void learn_step(struct learner *l, struct model *m, const real *x)
{
#if TARGETS > 0
    measure_labels(l);
    for (int32_t i = 0; i < TARGETS; i++) {
        run_sample(l, m, i, x);
        for (int32_t c = 0; c < CLASSES; c++)
            run_target(l, m, i, c);
        if (learnings[i].weight >= 0) {
            contrast(l, i);
            learn_layer(l, m, i);
        }
        reset_all(l, m, i);
        measure(l, i);
    }
#endif
    model_run(m, TARGETS, x);
#if LEARNED_READOUT >= 0
    learn_readout(l, m);
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

static void put(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t get(const uint8_t *at)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value |= (uint32_t)at[i] << 8 * i;
    return value;
}

/* CRC-32 (IEEE 802.3), bit by bit. */
static uint32_t checksum(const uint8_t *at, uint32_t n)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (uint32_t i = 0; i < n; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1u ? 0xEDB88320u : 0u);
    }
    return ~crc;
}

#define MAGIC 0x4C505453u /* "STPL" */

void learn_save(const struct learner *l, uint8_t *blob)
{
    put(blob, MAGIC);
    put(blob + 4, BLOB_VERSION);
    put(blob + 8, IDENTITY);
    put(blob + 12, LEARNED);
    for (uint32_t i = 0; i < LEARNED; i++) {
        float value = (float)l->weight[i];
        uint32_t bits;
        memcpy(&bits, &value, 4);
        put(blob + 16 + 4 * i, bits);
    }
    put(blob + BLOB_BYTES - 4, checksum(blob, BLOB_BYTES - 4));
}

int learn_load(struct learner *l, const uint8_t *blob, uint32_t bytes)
{
    if (bytes != BLOB_BYTES || get(blob) != MAGIC || get(blob + 4) != BLOB_VERSION
        || get(blob + 8) != IDENTITY || get(blob + 12) != LEARNED
        || get(blob + BLOB_BYTES - 4) != checksum(blob, BLOB_BYTES - 4))
        return 0;
    for (uint32_t i = 0; i < LEARNED; i++) {
        uint32_t bits = get(blob + 16 + 4 * i);
        float value;
        memcpy(&value, &bits, 4);
        l->weight[i] = (real)value;
        l->gradient[i] = l->moment[i] = R(0);
#if ADAM
        l->second[i] = R(0);
#endif
    }
#if ADAM
    l->power1 = l->power2 = R(1);
#endif
    return 1;
}
