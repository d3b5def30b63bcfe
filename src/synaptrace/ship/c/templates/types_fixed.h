#define INPUT_SCALE $input_scale /* an input of 1 */
#define INPUT_MOST $input_most   /* inputs are cut off there, so that no sum overflows */
typedef int32_t state;  /* of membranes and logits: scaled by a power of two in each layer */
typedef $stored stored; /* a weight as model.c has it, likewise */
typedef int16_t input;  /* of the network: model_input makes it */
