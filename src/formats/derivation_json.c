// derivation_json.c: derivations as JSON; keys in nlohmann's (bytewise) order.
#include "formats/derivation_json.h"

static bool put_pair(JsonWrite *json, Span key, Span value, Err *err) {
  return json_write_key(json, key, err) && json_write_str(json, value, err);
}

static bool put_list(JsonWrite *json, Span key, const Span *items, size_t count, Err *err) {
  return json_write_key(json, key, err) && json_write_strs(json, items, count, err);
}

static bool put_env(const Derivation *drv, JsonWrite *json, Err *err) {
  if (!json_write_key(json, SPAN("env"), err)) return false;
  json_write_object_begin(json);
  for (size_t i = 0; i < drv->env_count; i++)
    if (!put_pair(json, drv->env[i].name, drv->env[i].value, err)) return false;
  json_write_object_end(json);
  return true;
}

static bool put_inputs(const DerivationInput *inputs, size_t count, Span key, JsonWrite *json, Err *err) {
  if (!json_write_key(json, key, err)) return false;
  json_write_object_begin(json);
  for (size_t i = 0; i < count; i++) {
    if (!json_write_key(json, inputs[i].key, err)) return false;
    json_write_object_begin(json);
    if (!put_inputs(inputs[i].dynamic, inputs[i].dynamic_count, SPAN("dynamicOutputs"), json, err) ||
        !put_list(json, SPAN("outputs"), inputs[i].outputs, inputs[i].output_count, err))
      return false;
    json_write_object_end(json);
  }
  json_write_object_end(json);
  return true;
}

static bool put_output(const DerivationOutput *output, JsonWrite *json, Err *err) {
  Buf hash CLEANUP(buf_done) = BUF_INIT;
  bool has_ca =
      output->kind == DERIVATION_FIXED || output->kind == DERIVATION_FLOATING || output->kind == DERIVATION_IMPURE;
  if (!json_write_key(json, output->name, err)) return false;
  json_write_object_begin(json);
  if (output->kind == DERIVATION_FIXED) {
    hash_format(&output->hash, HASH_FORMAT_BASE16, false, &hash);
    if (!put_pair(json, SPAN("hash"), buf_span(&hash), err)) return false;
  }
  if (has_ca && !put_pair(json, SPAN("hashAlgo"), hash_algo_name(output->hash.algo), err)) return false;
  if (output->kind == DERIVATION_IMPURE) {
    if (!json_write_key(json, SPAN("impure"), err)) return false;
    json_write_bool(json, true);
  }
  if (has_ca && !put_pair(json, SPAN("method"), content_address_method_name(output->method), err)) return false;
  bool has_path = output->kind == DERIVATION_FIXED || output->kind == DERIVATION_INPUT_ADDRESSED;
  if (has_path && !put_pair(json, SPAN("path"), output->path, err)) return false;
  json_write_object_end(json);
  return true;
}

static bool put_outputs(const Derivation *drv, JsonWrite *json, Err *err) {
  if (!json_write_key(json, SPAN("outputs"), err)) return false;
  json_write_object_begin(json);
  for (size_t i = 0; i < drv->output_count; i++)
    if (!put_output(&drv->outputs[i], json, err)) return false;
  json_write_object_end(json);
  return true;
}

bool derivation_json_write(const Derivation *drv, JsonWrite *json, Err *err) {
  json_write_object_begin(json);
  if (!put_list(json, SPAN("args"), drv->args, drv->arg_count, err) ||
      !put_pair(json, SPAN("builder"), drv->builder, err) || !put_env(drv, json, err) ||
      !put_inputs(drv->input_drvs, drv->input_drv_count, SPAN("inputDrvs"), json, err) ||
      !put_list(json, SPAN("inputSrcs"), drv->input_srcs, drv->input_src_count, err) ||
      !put_pair(json, SPAN("name"), drv->name, err) || !put_outputs(drv, json, err) ||
      !put_pair(json, SPAN("system"), drv->platform, err))
    return false;
  json_write_object_end(json);
  return true;
}
