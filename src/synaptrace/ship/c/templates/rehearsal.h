
/* Sequences of what was learned before, stored as whole numbers (rehearse.c). */
#define REHEARSED $count
#define REHEARSAL_UNIT R($unit) /* what 1 stands for */

extern const int8_t rehearsal_input[];
extern const int32_t rehearsal_start[REHEARSED], rehearsal_steps[REHEARSED];
extern const int32_t rehearsal_label[REHEARSED];
