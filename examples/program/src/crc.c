#include "crc.h"

uint32_t crc_update(uint32_t crc, const void *data, size_t len) {
  const uint8_t *byte = data;
  crc = ~crc;
  for (size_t i = 0; i < len; i++) crc = crc >> 8 ^ crc_table[(crc ^ byte[i]) & 0xff];
  return ~crc;
}
