/* make test: this program against the network that it was made from (test_vectors.h). In float
   and in whole numbers every logit is the same to the last bit, in double within 1e-9 of float64. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model.h"
#include "test_vectors.h"
#if LEARN
#include "learn.h"
static struct learner learner;
static uint8_t blob[BLOB_BYTES];
#endif
#if FRONT_END
#include "features.h"
static struct features features;
#endif
#include "clock.h"

static struct model model;
static input x[INPUTS];
static int failures;

static void expect(int right, const char *what)
{
    if (!right) {
        failures++;
        printf("FAILED: %s\n", what);
    }
}

static const input *frame(int v, int t)
{
    for (int j = 0; j < INPUTS; j++)
        x[j] = (input)vector_input[vector_start[v] + t * INPUTS + j];
    return x;
}

static double difference(const state *logits, int v)
{
    double most = 0;
    for (int c = 0; c < CLASSES; c++) {
#if FIXED
        double wanted = (double)vector_logits[v][c];
#else
        double wanted = sizeof(real) == sizeof(float) ? (double)vector_logits[v][c]
                                                      : vector_logits_double[v][c];
#endif
        double d = fabs((double)logits[c] - wanted);
        most = d > most ? d : most;
    }
    return most;
}

static void infer(void)
{
    double most = 0;
    uint32_t ticks = 0, steps = 0;
    model_init(&model);
    for (int v = 0; v < VECTORS; v++) {
        int32_t spikes[LAYERS] = {0};
        model_start(&model);
        for (int t = 0; t < vector_steps[v]; t++, steps++) {
            frame(v, t);
            clock_start();
            model_step(&model, x);
            ticks += clock_read();
            for (int i = 0; i < LAYERS; i++)
                spikes[i] += model.count[i];
        }
        double d = difference(model.logits, v);
        most = d > most ? d : most;
        if (sizeof(real) == sizeof(float))
            expect(memcmp(spikes, vector_spikes[v], sizeof spikes) == 0, "spikes");
        expect(model_answer(&model) == vector_answer[v], "answer");
    }
    printf("inference: %d sequences, logits differ by at most %g\n", VECTORS, most);
    clock_tell("a step", ticks, steps);
    expect(most <= (FIXED || sizeof(real) == sizeof(float) ? 0.0 : 1e-9), "logits");
}

#if LEARN
/* How far some of the numbers are from what they should be, as a share of the largest. */
static double share_off(int gradient, const double *wanted)
{
    double most = 0, largest = 0;
    for (int i = 0; i < PROBES; i++) {
        int32_t at = probe_at[i];
        double value = gradient ? (double)learner.gradient[at] : (double)learner.weight[at];
        most = fmax(most, fabs(value - wanted[i]));
        largest = fmax(largest, fabs(wanted[i]));
    }
    return largest > 0 ? most / largest : most;
}

static void learn(void)
{
    uint32_t ticks = 0, steps = 0, updates = 0;
    learn_init(&learner, &model);
    for (int v = 0; v < VECTORS; v++) {
        learn_start(&learner, &model, vector_label[v], FRACTION(1));
        for (int t = 0; t < vector_steps[v]; t++, steps++) {
            frame(v, t);
            clock_start();
            learn_step(&learner, &model, x);
            ticks += clock_read();
        }
        if (v == 0) {
            double off = share_off(1, probe_gradient);
            printf("learning: gradients differ by at most %g of the largest\n", off);
            expect(off <= (FIXED ? 0.0 : sizeof(real) == sizeof(float) ? 0.02 : 1e-9), "gradients");
        }
        clock_start();
        learn_update(&learner, FRACTION(LEARNING_RATE));
        updates += clock_read();
    }
    if (FIXED || sizeof(real) == sizeof(double)) { /* by Adam a rounding of nearly nothing counts */
        double off = share_off(0, probe_weight);
        printf("learning: after %d updates weights differ by at most %g\n", VECTORS, off);
        expect(off <= (FIXED ? 0.0 : 1e-8), "weights");
    }
    clock_tell("a step that learns", ticks, steps);
    clock_tell("an update", updates, VECTORS);

    float kept = (float)learner.weight[0];
    learn_save(&learner, blob);
    learn_init(&learner, &model);
    expect(learn_load(&learner, blob, BLOB_BYTES) == 1, "what was saved can't be loaded");
    expect((float)learner.weight[0] == kept, "what was loaded is another thing");
    blob[BLOB_BYTES / 2] ^= 1;
    expect(learn_load(&learner, blob, BLOB_BYTES) == 0, "a damaged blob was loaded");
    expect(learn_load(&learner, blob, BLOB_BYTES - 1) == 0, "a short blob was loaded");

    stored before = learner.weight[LEARNED - 1];
#if FIXED
    learner.weight[LEARNED - 1] = -32768;
#else
    learner.weight[LEARNED - 1] = (stored)HUGE_VAL;
#endif
    learn_save(&learner, blob); /* its checksum is right */
    learner.weight[LEARNED - 1] = before;
    expect(learn_load(&learner, blob, BLOB_BYTES) == 0, "weights out of bounds were loaded");
    expect(learner.weight[LEARNED - 1] == before, "what was refused changed the weights");
#if FIXED
    learner.seed = 0;
    learn_save(&learner, blob);
    expect(learn_load(&learner, blob, BLOB_BYTES) == 0, "a seed that never changes was loaded");
    learner.seed = 1;
#endif
}
#endif

#if FRONT_END
static void hear(void)
{
    double most = 0;
    uint32_t ticks = 0;
    features_start(&features);
    for (int t = 0; t < SOUND_STEPS; t++) {
        static real sound[HOP], heard[INPUTS];
        for (int i = 0; i < HOP; i++)
            sound[i] = R(sound_input[t * HOP + i]) / R(32768);
        clock_start();
        features_step(&features, sound, heard);
        ticks += clock_read();
        for (int j = 0; j < INPUTS; j++)
            most = fmax(most, fabs((double)heard[j] - sound_features[t * INPUTS + j]));
    }
    printf("front end: features differ by at most %g\n", most);
    clock_tell("a frame", ticks, SOUND_STEPS);
    expect(most <= (sizeof(real) == sizeof(float) ? 0.01 : 1e-9), "features");
}
#endif

int main(void)
{
    infer();
#if FRONT_END
    hear();
#endif
#if LEARN
    learn();
#endif
    printf(failures ? "%d failures\n" : "ok\n", failures);
    return failures ? 1 : 0;
}
