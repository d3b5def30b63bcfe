typedef real state;  /* of membranes and logits */
typedef real stored; /* a weight as model.c has it */
typedef real input;  /* of the network */
