/* Traces Propagation with the class contrast (arXiv 2509.13053), for one sequence at a time.

   The sample's stream runs on its input, a stream for each class on its label. With z the sample's
   traces and Y the classes' in a layer, y the sample's class and D distances one layer below:

     A = z Y' / tau     E = (softmax(A) - softmax(-D of y)) share
     g  = (E Y / tau) slope(v - threshold)          of the sample
     gc = (Ec z / tau) slope(vc - threshold)        of class c
     dW = g x + gc xc,  dR = g s + gc sc            layer 1: of the sample alone
     dWo = (softmax(m) - y) z share

   x and s are the inputs and the layer's own spikes of the step before, filtered by
   presynaptic_decay. Nothing grows with time. In struct learner

     z    trace             Y   target_trace (row c of a layer: learn_row)    v   model's membrane
     E    error             D   distance                                      vc  target_membrane
     g, gc  local           x, s, xc, sc   presynaptic                        dW, dR, dWo  gradient

   A layer learns from its membranes before their reset. Here are the streams; errors.c, or in
   whole numbers errors_fixed.c, has the rest. */
#include <string.h>

#include "learn_parts.h"

/* The model computes with what is learned, and for the rest with the constants of model.c. */
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

void learn_anchor(struct learner *l, fraction share)
{
#if TARGETS > 0
    for (int32_t i = 0; i < TARGETS; i++) {
        const struct learning *how = &learnings[i];
        int32_t n = layers[i].neurons;
        if (how->weight >= 0)
            learn_approach(l, l->weight + how->weight, layers[i].weight, layers[i].inputs * n,
                           share);
        if (how->recurrent >= 0)
            learn_approach(l, l->weight + how->recurrent, layers[i].recurrent, n * n, share);
    }
#endif
#if LEARNED_READOUT >= 0
    learn_approach(l, l->weight + LEARNED_READOUT, readout_weight, OUTPUTS * CLASSES, share);
#endif
}

void learn_init(struct learner *l, struct model *m)
{
    model_init(m);
    memset(l, 0, sizeof *l);
#if FIXED
    l->seed = 1;
#endif
    learn_forget(l);
    learn_anchor(l, FRACTION(1));
    connect(l, m);
}

static void zero(state *at, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        at[i] = 0;
}

void learn_start(struct learner *l, struct model *m, int32_t label, fraction share)
{
    model_start(m);
    zero(l->trace, TRACES);
#if TARGETS > 0
    zero(l->target_membrane, CLASSES * TARGET_NEURONS);
    zero(l->target_trace, CLASSES * TARGET_NEURONS);
    zero(l->presynaptic, PRESYNAPTIC);
    memset(l->target_count, 0, sizeof l->target_count);
    l->label_trace = 0;
#endif
    l->label = label;
    l->share = share;
}

#if TARGETS > 0
/* trace := decay trace + spikes */
static void follow(state *trace, state decay, int32_t n, const place *spikes, int32_t count)
{
    model_leak(trace, decay, n);
    for (int32_t k = 0; k < count; k++)
        trace[spikes[k]] += UNIT;
}

/* The label's neurons, which are the classes' first layer, have a threshold of their own. */
static state threshold_of_targets(int32_t i)
{
    return i ? layers[i].threshold : LABEL_THRESHOLD;
}

int32_t learn_row(int32_t i, int32_t c)
{
    return CLASSES * layers[i].first + c * layers[i].neurons;
}

/* What a row's weights are multiplied with, moved on: from the spikes below and its own last. */
static void presynaptic(struct learner *l, int32_t i, int32_t c, const place *below,
                        int32_t below_count, const place *own, int32_t own_count)
{
    const struct learning *how = &learnings[i];
    if (how->weight >= 0)
        follow(l->presynaptic + how->input_trace + c * layers[i].inputs, how->presynaptic_decay,
               layers[i].inputs, below, below_count);
    if (how->recurrent >= 0)
        follow(l->presynaptic + how->recurrent_trace + c * layers[i].neurons,
               how->presynaptic_decay, layers[i].neurons, own, own_count);
}

/* membrane += the weights of each input that spiked */
static void add_rows(state *membrane, const stored *weight, state by, const place *at,
                     int32_t count, int32_t n)
{
    for (int32_t k = 0; k < count; k++)
        model_add(membrane, weight + at[k] * n, by, n);
}

/* The sample's membranes and spikes of layer i. */
static void run_sample(struct learner *l, struct model *m, int32_t i, const input *x)
{
    const struct layer *layer = &layers[i];
    const struct learning *how = &learnings[i];
    int32_t n = layer->neurons;
    state *membrane = m->membrane + layer->first;
    place *spikes = m->spikes + layer->first;
    model_leak(membrane, layer->decay, n);
    if (i == 0) {
        for (int32_t j = 0; j < INPUTS; j++)
            if (x[j] != 0)
                model_add(membrane, m->weight[0] + j * n, (state)x[j] * layer->gain, n);
        presynaptic(l, 0, 0, spikes, 0, spikes, m->count[0]);
        if (how->weight >= 0)
            for (int32_t j = 0; j < INPUTS; j++)
                l->presynaptic[how->input_trace + j] += x[j] * INPUT_UNIT;
    } else {
        const place *below = m->spikes + layers[i - 1].first;
        add_rows(membrane, m->weight[i], layer->gain, below, m->count[i - 1], n);
        presynaptic(l, i, 0, below, m->count[i - 1], spikes, m->count[i]);
    }
    if (m->recurrent[i])
        add_rows(membrane, m->recurrent[i], layer->own_gain, spikes, m->count[i], n);
    m->count[i] = model_fire(membrane, layer->threshold, n, spikes);
    follow(l->trace + layer->first, how->trace_decay, n, spikes, m->count[i]);
}

/* The membranes and spikes of class c in layer i. */
static void run_target(struct learner *l, struct model *m, int32_t i, int32_t c)
{
    const struct layer *layer = &layers[i];
    int32_t n = layer->neurons, at = learn_row(i, c);
    state *membrane = l->target_membrane + at;
    place *spikes = l->target_spikes + at;
    int32_t *count = l->target_count + CLASSES * i + c;
    const stored *recurrent = i ? m->recurrent[i] : label_recurrent;
    model_leak(membrane, layer->decay, n);
    if (i == 0) {
        model_add(membrane, label_weight + c * n, LABEL_GAIN, n);
    } else {
        const place *below = l->target_spikes + learn_row(i - 1, c);
        int32_t below_count = l->target_count[CLASSES * (i - 1) + c];
        add_rows(membrane, m->weight[i], layer->gain, below, below_count, n);
        presynaptic(l, i, 1 + c, below, below_count, spikes, *count);
    }
    if (recurrent)
        add_rows(membrane, recurrent, i ? layer->own_gain : LABEL_OWN_GAIN, spikes, *count, n);
    *count = model_fire(membrane, threshold_of_targets(i), n, spikes);
    follow(l->target_trace + at, learnings[i].trace_decay, n, spikes, *count);
}

/* After learning: the reset of the sample's and the classes' neurons that spiked. */
static void reset_all(struct learner *l, struct model *m, int32_t i)
{
    const struct layer *layer = &layers[i];
    model_reset(m->membrane + layer->first, layer, layer->threshold, m->spikes + layer->first,
                m->count[i]);
    for (int32_t c = 0; c < CLASSES; c++)
        model_reset(l->target_membrane + learn_row(i, c), layer, threshold_of_targets(i),
                    l->target_spikes + learn_row(i, c), l->target_count[CLASSES * i + c]);
}
#endif

#if LEARNED_READOUT >= 0
/* The readout learns from a trace of what the last layer sends: the sample's, if a target stream
   runs as far, else one of its own. */
static void run_readout(struct learner *l, const struct model *m)
{
#if TARGETS < LAYERS
    const place *at;
    const state *amount;
    int32_t count = model_output(m, LAYERS - 1, &at, &amount);
    model_leak(l->trace + TRACES - OUTPUTS, READOUT_TRACE_DECAY, OUTPUTS);
    for (int32_t k = 0; k < count; k++)
        l->trace[TRACES - OUTPUTS + at[k]] += amount ? amount[k] * UNIT : UNIT;
#endif
    learn_readout(l, m);
}
#endif

void learn_step(struct learner *l, struct model *m, const input *x)
{
#if TARGETS > 0
    learn_label_distances(l);
    for (int32_t i = 0; i < TARGETS; i++) {
        run_sample(l, m, i, x);
        for (int32_t c = 0; c < CLASSES; c++)
            run_target(l, m, i, c);
        if (learnings[i].weight >= 0)
            learn_layer(l, m, i);
        reset_all(l, m, i);
        learn_distances(l, i);
    }
#endif
    model_run(m, TARGETS, x);
#if LEARNED_READOUT >= 0
    run_readout(l, m);
#endif
}
