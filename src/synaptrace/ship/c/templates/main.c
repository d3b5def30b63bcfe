/* An example for a PC, or for an emulated board. Words on the command line:

     FILE          recognise it
     LABEL==FILE   the same, and count whether it is right (a label is a name or a number)
     LABEL=FILE    learn that it is of class LABEL, before anything is recognised; where sequences
                   of before are stored, with one of them
     epochs:N      so many times, the rate falling to 0 by a cosine (1)
     rate:X        from this rate on (1e-3; by SGD 3e-4)
     anchor:X      after each, weights go back by this share to what they were (0)
     load:FILE     go on with what was learned before
     save:FILE     keep what was learned
     listen:FILE   a sound as a stream: when a word was heard (seconds), which ("?": not sure
                   enough), and how sure that is; where the program decides (decide.c)

   A FILE holds float32 numbers, INPUTS a step; with the front end also sound, .wav, 16 bit, one
   channel, at its rate. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#if LEARN
#include "learn.h"
#define LEARNING_RATE (ADAM ? 1e-3 : 3e-4)
#define PI 3.14159265358979323846
static struct learner learner;
static double anchor;
#endif
#if REHEARSED
#include "rehearse.h"
#define SHARE FRACTION(0.5)
static uint32_t seed = 1;
#else
#define SHARE FRACTION(1)
#endif
#if FRONT_END
#include "features.h"
#define QUOTED(x) #x
#define TEXT(x) QUOTED(x) /* of a macro's value */
#define NO_SOUND "is no sound of 16 bit, one channel and " TEXT(RATE) " samples a second"
static struct features features;
#endif
#if DECIDE
#include "decide.h"
#define END (HOLD + 2) /* steps of silence after a stream */
static struct ear ear;
#else
#define END 0
#endif

static struct model model;
static real heard[INPUTS]; /* the step at hand, and as the network takes it */
static input x[INPUTS];

static int fail(const char *what, const char *name)
{
    fprintf(stderr, "%s: %s\n", name, what);
    exit(2);
}

#if FRONT_END
static uint32_t little(const uint8_t *at, int n)
{
    uint32_t value = 0;
    for (int i = 0; i < n; i++)
        value |= (uint32_t)at[i] << 8 * i;
    return value;
}

/* A clip of CLIP samples, as in training: the sound lies in the middle of silence, or loses both
   ends. `left` are the clip's samples to come, `silence` those of them before the sound, `spoken`
   the sound's, after which a file may hold other chunks. */
static long left, silence, spoken;

/* Goes to a wav file's samples, of a clip or all; 0 where it is none that fits. */
static int open_wav(FILE *file, int all)
{
    uint8_t head[12], chunk[8], format[16];
    int known = 0, found = 0;
    if (fread(head, 1, 12, file) != 12 || memcmp(head, "RIFF", 4) || memcmp(head + 8, "WAVE", 4))
        return 0;
    while (fread(chunk, 1, 8, file) == 8) {
        found = memcmp(chunk, "data", 4) == 0;
        if (found)
            break;
        uint32_t size = little(chunk + 4, 4);
        long skip = (long)(size + (size & 1u));
        if (memcmp(chunk, "fmt ", 4) == 0 && size >= 16) {
            if (fread(format, 1, 16, file) != 16)
                return 0;
            known = little(format, 2) == 1 && little(format + 2, 2) == 1
                    && little(format + 4, 4) == RATE && little(format + 14, 2) == 16;
            skip -= 16;
        }
        if (fseek(file, skip, SEEK_CUR))
            return 0;
    }
    long samples = (long)(little(chunk + 4, 4) / 2), spare = CLIP - samples;
    if (all) {
        silence = 0;
        spoken = samples;
        left = (samples / HOP + END) * HOP;
        return known && found;
    }
    left = CLIP;
    silence = spare > 0 ? spare / 2 : 0;
    spoken = spare > 0 ? samples : CLIP;
    return known && found && (spare >= 0 || fseek(file, (1 - spare) / 2 * 2, SEEK_CUR) == 0);
}

static real sound[HOP];

static int next_hop(FILE *file)
{
    if (left < HOP)
        return 0;
    left -= HOP;
    for (int i = 0; i < HOP; i++) {
        uint8_t bytes[2];
        int value = 0;
        if (silence > 0)
            silence--;
        else if (spoken-- > 0 && fread(bytes, 1, 2, file) == 2)
            value = (int)little(bytes, 2);
        sound[i] = R(value < 32768 ? value : value - 65536) / R(32768);
    }
    return 1;
}
#endif

static int next_frame(FILE *file, int wav)
{
#if FRONT_END
    if (wav) {
        if (!next_hop(file))
            return 0;
        features_step(&features, sound, heard);
        return 1;
    }
#endif
    (void)wav;
    for (int j = 0; j < INPUTS; j++) {
        float value;
        if (fread(&value, sizeof value, 1, file) != 1)
            return 0;
        heard[j] = (real)value;
    }
    return 1;
}

/* Runs a file through the network, learns from it where there is a label; returns the answer. */
static int hear(const char *name, int label, double rate)
{
    FILE *file = fopen(name, "rb");
    int wav = 0, steps = 0;
    (void)label;
    (void)rate;
    if (!file)
        fail("can't be opened", name);
#if FRONT_END
    wav = strlen(name) > 4 && strcmp(name + strlen(name) - 4, ".wav") == 0;
    if (wav && !open_wav(file, 0))
        fail(NO_SOUND, name);
    features_start(&features);
#endif
#if LEARN
    if (label >= 0)
        learn_start(&learner, &model, label, SHARE);
    else
#endif
        model_start(&model);
    for (; next_frame(file, wav); steps++) {
        for (int j = 0; j < INPUTS; j++)
            x[j] = model_input(heard[j]);
#if LEARN
        if (label >= 0)
            learn_step(&learner, &model, x);
        else
#endif
            model_step(&model, x);
    }
    fclose(file);
    if (!steps)
        fail("holds not a single step", name);
    int answer = model_answer(&model);
#if LEARN
    if (label >= 0) {
#if REHEARSED
        rehearse(&learner, &model, &seed, SHARE, x);
#endif
        learn_update(&learner, FRACTION(rate));
        if (anchor > 0)
            learn_anchor(&learner, FRACTION(anchor));
    }
#endif
    return answer;
}

#if LEARN
static void keep(const char *name, int save)
{
    static uint8_t blob[BLOB_BYTES + 1];
    FILE *file = fopen(name, save ? "wb" : "rb");
    if (!file)
        fail("can't be opened", name);
    if (save) {
        learn_save(&learner, blob);
        if (fwrite(blob, 1, BLOB_BYTES, file) != BLOB_BYTES)
            fail("can't be written", name);
    } else if (!learn_load(&learner, blob, (uint32_t)fread(blob, 1, sizeof blob, file))) {
        fail("is damaged, or was learned by another network", name);
    }
    if (fclose(file))
        fail("can't be written", name);
}
#endif

#if DECIDE
static void listen(const char *name)
{
    FILE *file = fopen(name, "rb");
    if (!file)
        fail("can't be opened", name);
    if (!open_wav(file, 1))
        fail(NO_SOUND, name);
    ear_start(&ear, &features, &model);
    for (long step = 1; next_hop(file); step++) {
        int found = ear_step(&ear, &features, &model, sound);
        if (found != HEARD_NOTHING)
            printf("%.2f\t%s\t%.4f\n", (double)step * HOP / RATE,
                   found == HEARD_WORD ? class_names[ear.label] : "?", (double)ear.sure);
    }
    fclose(file);
}
#endif

static int label_of(const char *word, size_t length)
{
    for (int c = 0; c < CLASSES; c++)
        if (strlen(class_names[c]) == length && strncmp(class_names[c], word, length) == 0)
            return c;
    char *end;
    long number = strtol(word, &end, 10);
    if (end != word + length || number < 0 || number >= CLASSES)
        fail("no such class", word);
    return (int)number;
}

#if LEARN
static int starts(const char *word, const char *with)
{
    return strncmp(word, with, strlen(with)) == 0;
}

static int is_order(const char *word)
{
    return starts(word, "load:") || starts(word, "save:") || starts(word, "epochs:")
           || starts(word, "anchor:") || starts(word, "rate:");
}

/* What is loaded and learned comes first. */
static void learn(int count, char **words)
{
    int epochs = 1;
    double rate = LEARNING_RATE;
    for (int i = 1; i < count; i++) {
        if (starts(words[i], "load:"))
            keep(words[i] + 5, 0);
        if (starts(words[i], "epochs:"))
            epochs = atoi(words[i] + 7);
        if (starts(words[i], "anchor:"))
            anchor = atof(words[i] + 7);
        if (starts(words[i], "rate:"))
            rate = atof(words[i] + 5);
    }
    for (int epoch = 0; epoch < epochs; epoch++)
        for (int i = 1; i < count; i++) {
            const char *equals = is_order(words[i]) ? NULL : strchr(words[i], '=');
            if (equals && equals[1] != '=')
                hear(equals + 1, label_of(words[i], (size_t)(equals - words[i])),
                     rate * (1 + cos(PI * epoch / epochs)) / 2);
        }
}
#endif

int main(int count, char **words)
{
    int right = 0, asked = 0;
    if (count < 2)
        fail("FILE, LABEL==FILE; where it learns LABEL=FILE, epochs:N, rate:X, anchor:X, "
             "load:FILE, save:FILE; where it decides listen:FILE", words[0]);
#if LEARN
    learn_init(&learner, &model);
    learn(count, words);
#else
    model_init(&model);
#endif
    for (int i = 1; i < count; i++) {
        const char *equals = strstr(words[i], "==");
#if LEARN
        if (starts(words[i], "save:"))
            keep(words[i] + 5, 1);
        if (is_order(words[i]) || (strchr(words[i], '=') && !equals))
            continue;
#endif
#if DECIDE
        if (strncmp(words[i], "listen:", 7) == 0) {
            listen(words[i] + 7);
            continue;
        }
#endif
        int answer = hear(equals ? equals + 2 : words[i], -1, 0);
        printf("%s\t%s\n", equals ? equals + 2 : words[i], class_names[answer]);
        if (equals) {
            asked++;
            right += answer == label_of(words[i], (size_t)(equals - words[i]));
        }
    }
    if (asked)
        printf("%d of %d are right\n", right, asked);
    return 0;
}
