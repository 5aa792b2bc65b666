/* Plays the calls of test_driver_twin.py on a stand-in for the hardware and prints every transaction and answer. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ngpc_driver.h"

static uint32_t registers[1024];
static int broken_end;

static int read_register(void *context, uint32_t address, uint32_t *word) {
  (void)context;
  if (address >= 0x400) return 1;
  *word = registers[address / 4];
  printf("read %#05" PRIx32 "\n", address);
  return 0;
}

static int write_register(void *context, uint32_t address, uint32_t word) {
  (void)context;
  printf("write %#05" PRIx32 " %" PRIu32 "\n", address, word);
  return 0;
}

static void print_bytes(const char *name, const uint8_t *bytes, size_t count) {
  size_t number;
  printf("%s ", name);
  for (number = 0; number < count; number++) printf("%02x", bytes[number]);
  printf("\n");
}

static int send_load(void *context, const uint8_t *words, size_t count) {
  (void)context;
  print_bytes("load", words, count * NGPC_BUILD_LOAD_BYTES);
  return 0;
}

static int exchange(void *context, const uint8_t *points, size_t count, uint8_t *results, uint8_t *last,
                    uint8_t *error) {
  size_t number, byte;
  (void)context;
  print_bytes("points", points, count * NGPC_BUILD_POINT_BYTES);
  for (number = 0; number < count; number++) {
    for (byte = 0; byte < NGPC_BUILD_RESULT_BYTES; byte++)
      results[number * NGPC_BUILD_RESULT_BYTES + byte] =
          (uint8_t)(points[number * NGPC_BUILD_POINT_BYTES] * 3 + byte * 77);
    last[number] = (number == count - 1) != broken_end;
    error[number] = number == 1;
  }
  return 0;
}

static int check(int code) {
  if (code) printf("code %d\n", code);
  return code;
}

int main(int argc, char **argv) {
  static uint8_t image[1 << 20], work[1 << 16], errors[64];
  static uint32_t coordinates[192];
  static int16_t side[64 * (NGPC_BUILD_SIDE_INPUTS + 1)], outputs[256];
  const ngpc_transport transport = {NULL, read_register, write_register, send_load, exchange};
  ngpc_driver driver;
  ngpc_field field;
  ngpc_counters counters;
  ngpc_program_status status;
  size_t number, count;
  uint32_t word;
  int busy;
  FILE *file = fopen(argv[1], "rb"); /* 256 registers; then the field; then points and codes, as 32-bit words */
  if (argc != 6 || !file || fread(registers, 4, 256, file) != 256) return 2;
  fclose(file);
  if (check(ngpc_open(&driver, &transport))) return 0;
  check(ngpc_run(&driver, coordinates, NULL, 1, outputs, errors, work));
  file = fopen(argv[2], "rb");
  count = fread(image, 1, sizeof image, file);
  fclose(file);
  if (check(ngpc_field_of(image, count, &field))) return 0;
  printf("field %u %u %u %.9g %.9g\n", field.pos_dims, field.outputs, field.takes_side, field.output_scale,
         field.direction_scale);
  check(ngpc_load(&driver, &field));
  file = fopen(argv[3], "rb");
  count = fread(coordinates, 12, 64, file);
  fclose(file);
  file = fopen(argv[4], "rb");
  if (fread(side, 2 * NGPC_BUILD_SIDE_INPUTS, 64, file) != count) return 2;
  fclose(file);
  check(ngpc_run(&driver, coordinates, side, count, outputs, errors, work));
  for (number = 0; number < count * NGPC_BUILD_MAX_OUTPUTS; number++) printf("output %d\n", outputs[number]);
  for (number = 0; number < count; number++) printf("error %d\n", errors[number]);
  check(ngpc_read_counters(&driver, &counters));
  printf("counters %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 "\n",
         counters.points, counters.results, counters.busy, counters.encoding_limits, counters.mlp_limits,
         counters.source_waits, counters.sink_waits);
  check(ngpc_is_busy(&driver, &busy));
  check(ngpc_failed(&driver, &word));
  printf("busy %d failed %" PRIu32 "\n", busy, word);
  check(ngpc_set_watchdog(&driver, 12345));
  check(ngpc_enable_interrupts(&driver, NGPC__IRQ_STATUS__RUN_DONE_bm | NGPC__IRQ_STATUS__NFP_FAILED_bm));
  check(ngpc_take_interrupts(&driver, &word));
  printf("interrupts %" PRIu32 "\n", word);
  file = fopen(argv[5], "rb");
  check(ngpc_load_program(&driver, image, fread(image, NGPC_BUILD_LOAD_BYTES, 4096, file)));
  fclose(file);
  check(ngpc_start_program(&driver));
  check(ngpc_set_scheduled(&driver, 0));
  check(ngpc_read_program(&driver, &status));
  printf("program %u %u %u %u %u %d %" PRIu64 "\n", status.busy, status.refused, status.fault, status.fault_index,
         status.protocol_error, status.run_index, status.clocks);
  check(ngpc_abort_program(&driver, 1));
  if (NGPC_BUILD_SUPERVISED) {
    ngpc_unit_status unit;
    check(ngpc_read_unit(&driver, 2, &unit));
    printf("unit %u %u %u %u %u\n", unit.state, unit.cause, unit.attempt, unit.index, unit.iteration);
    check(ngpc_failed_units(&driver, &word));
    printf("failed units %" PRIu32 "\n", word);
    check(ngpc_issued(&driver, 7, &word));
    printf("issued %" PRIu32 "\n", word);
    check(ngpc_decide(&driver, 1, NGPC_DROP));
    check(ngpc_decide(&driver, 3, NGPC_REISSUE));
    check(ngpc_set_unit_limit(&driver, 3, 65535));
    check(ngpc_set_unit_limit(&driver, 3, 65536));
    check(ngpc_decide(&driver, NGPC_BUILD_UNITS, NGPC_DONE));
    check(ngpc_drop_failures(&driver, 1));
    check(ngpc_dropped(&driver, &word));
    printf("dropped %" PRIu32 "\n", word);
  }
  if (!NGPC_BUILD_FLOATING) {
    coordinates[4] = (1 << 23) + 1;
    check(ngpc_run(&driver, coordinates, side, count, outputs, errors, work));
  }
  check(ngpc_run(&driver, coordinates, NULL, 1, outputs, errors, work));
  side[1] = 300;
  if (NGPC_BUILD_VALUE_BYTES == 1) check(ngpc_run(&driver, coordinates, side, 1, outputs, errors, work));
  side[1] = 1;
  broken_end = 1;
  check(ngpc_run(&driver, coordinates, side, 1, outputs, errors, work));
  return 0;
}
