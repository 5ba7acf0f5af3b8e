// derivation_json.h: the JSON form of a derivation, as `nix derivation show` of 2.26 prints it.
#pragma once

#include "formats/derivation.h"
#include "formats/json_write.h"

// Writes one object {args, builder, env, inputDrvs, inputSrcs, name, outputs, system}. Fails on text that is not UTF-8.
MUST_CHECK bool derivation_json_write(const Derivation *drv, JsonWrite *json, Err *err);
