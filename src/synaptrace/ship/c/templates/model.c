/* The weights and constants of $name. Made by synaptrace; see README.md. */
#include "model.h"

$tables
const struct layer layers[LAYERS] = {
$rows
};
