#pragma once

#include <stddef.h>
#include <stdint.h>

extern const uint32_t crc_table[256]; /* generated */

/* The checksum of more data; begin with 0. */
uint32_t crc_update(uint32_t crc, const void *data, size_t len);
