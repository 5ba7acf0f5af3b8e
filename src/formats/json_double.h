// json_double.h: decimal text of doubles as nlohmann::json prints it: the digits of Grisu2, and its choice between plain and
// exponent form. Grisu2's digits always read back as the same double; in about one case of a thousand they are not the
// shortest such digits. Source: Florian Loitsch, "Printing Floating-Point Numbers Quickly and Accurately with Integers",
// PLDI 2010, with the cached powers 10^-300, 10^-292, ... 10^324 that nlohmann uses (the choice shows in those rare cases).
#pragma once

#include "base/span.h"

#define JSON_DOUBLE_TEXT_MAX 32

// Writes at most JSON_DOUBLE_TEXT_MAX characters, no NUL; returns their number. `value` must be finite.
// "0.0", "-0.0", "1.0", "0.1", "100000000000000.0", "1e+15", "1.5e-07", "0.0001".
size_t json_double_format(double value, char *ret);
