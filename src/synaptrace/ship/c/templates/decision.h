
/* The decision where a word is in a stream of sound, and which (decide.c). */
#define DECIDE 1
#define PIECES $pieces             /* of the time whose lowest level is the noise's floor */
#define PIECE $piece               /* steps of one */
#define ABOVE R($above)            /* dB over that floor from which there is sound */
#define LOWEST R($lowest)          /* dB of full scale, at least */
#define HOLD $hold                 /* steps of silence that end a word */
#define LONGEST $longest           /* steps of sound after which there is a decision anyway */
#define CLICK $click               /* steps; what is shorter is no word */
#define EARLY R($early)            /* steps until a spike counts 1 / e of one at a word's beginning */
#define LISTEN_DECAY $decay        /* of the logits at each step, beside READOUT_DECAY */
#define LOGIT_UNIT R($unit)        /* what 1 in model.logits is */
#define DECISION_TEMPERATURE R($temperature)
#define DECISION_MIDDLE R($middle) /* the distance that is a word as likely as not */
#define DECISION_WIDTH R($width)
#ifndef CONFIDENCE
#define CONFIDENCE R($confidence)  /* the probability that a word needs */
#endif
#define KNOWN $known               /* utterances that were learned from */

extern const uint8_t known_roots[KNOWN * 2 * OUTPUTS]; /* [utterance][all, beginning][output] */
extern const int32_t known_start[CLASSES + 1];         /* where each class's utterances begin */
