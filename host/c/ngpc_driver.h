/* SPDX-License-Identifier: Apache-2.0
 *
 * Driver of a cluster of neural fields processors: the twin of host/driver.py, in one header, C11 or C++11.
 * It makes the same register accesses and stream transfers in the same order. No allocation, no global state.
 *
 * Include path: registers/ngpc.h (addresses and fields) and driver/ngpc_build.h (sizes of the build), both written by
 * `ngpc verilog --preset P`.
 *
 * Every function returns NGPC_OK or one of the negative codes below. Words are little endian byte arrays, whatever the
 * host is.
 */
#ifndef NGPC_DRIVER_H
#define NGPC_DRIVER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "ngpc.h"
#include "ngpc_build.h"

enum {
  NGPC_OK = 0,
  NGPC_BUS_ERROR = -1,      /* the transport failed */
  NGPC_NO_CLUSTER = -2,     /* what answers has another identification */
  NGPC_OTHER_MAP = -3,      /* its register map has another major version */
  NGPC_OTHER_BUILD = -4,    /* its configuration hash is not that of ngpc_build.h */
  NGPC_INVALID = -5,        /* an argument is out of range; nothing was sent */
  NGPC_WRONG_END = -6,      /* the hardware ended the run elsewhere than at its last point */
  NGPC_NO_FIELD = -7,       /* points without a field */
  NGPC_NO_SCHEDULER = -8,   /* a program for a build without a scheduler unit */
  NGPC_NOT_SUPERVISED = -9, /* its scheduler unit does not supervise units */
  NGPC_NO_FILE = -10        /* the bytes are not a field's file, or not all of it */
};

/* How to reach registers and streams. Calls return 0 when their transfers are done, else anything else. Time limits are
 * theirs: a cluster that was reset has no field, and points sent to it bring no results and no error. */
typedef struct {
  void *context;
  int (*read)(void *context, uint32_t address, uint32_t *word);
  int (*write)(void *context, uint32_t address, uint32_t word);
  /* count words of NGPC_BUILD_LOAD_BYTES bytes */
  int (*send_load)(void *context, const uint8_t *words, size_t count);
  /* count points of NGPC_BUILD_POINT_BYTES, TLAST with the last one alone; as many results of NGPC_BUILD_RESULT_BYTES
   * with their TLAST and TUSER */
  int (*exchange)(void *context, const uint8_t *points, size_t count, uint8_t *results, uint8_t *last, uint8_t *error);
} ngpc_transport;

/* A field as load words, and what its points and results are; `ngpc image` makes a file of it. */
typedef struct {
  const uint8_t *words;
  size_t count;
  unsigned pos_dims;     /* 2 or 3 */
  unsigned outputs;      /* of a point */
  unsigned takes_side;   /* 1 for nerf: a direction code comes with each point */
  float output_scale;    /* real value of one step of an output */
  float direction_scale; /* of the direction code; 0 if there is none */
} ngpc_field;

typedef struct {
  const ngpc_transport *transport;
  ngpc_field field;
} ngpc_driver;

typedef struct {
  uint32_t points, results, busy, encoding_limits, mlp_limits, source_waits, sink_waits;
} ngpc_counters;

typedef struct {
  unsigned busy, refused, fault, fault_index, protocol_error;
  int run_index; /* descriptor of the cluster's nano-operation in work, or -1 */
  uint64_t clocks;
} ngpc_program_status;

/* What a unit of a supervised scheduler stands at. */
typedef struct {
  unsigned state;     /* 0 idle, 1 offered, 2 in flight, 3 failed */
  unsigned cause;     /* of a failed one: 1 an error, 2 the watchdog */
  unsigned attempt;   /* of its present execution, or the next */
  unsigned index;     /* descriptor */
  unsigned iteration;
} ngpc_unit_status;

/* What becomes of the failed nano-operation of a unit. */
typedef enum {
  NGPC_REISSUE = NGPC__UNIT_DECISION__REISSUE_bm,
  NGPC_DONE = NGPC__UNIT_DECISION__DONE_bm,
  NGPC_DROP = NGPC__UNIT_DECISION__DROP_bm
} ngpc_decision;

/* Bytes of the work buffer of ngpc_run. */
#define NGPC_WORK_BYTES(count) ((size_t)(count) * (NGPC_BUILD_POINT_BYTES + NGPC_BUILD_RESULT_BYTES + 1))

#define NGPC_ADDRESS(name) ((uint32_t)offsetof(ngpc_t, name))
#define NGPC_FIELD(word, field) (((word) & field##_bm) >> field##_bp)
#define NGPC_TRY(call)       \
  do {                       \
    int ngpc_code = (call);  \
    if (ngpc_code) return ngpc_code; \
  } while (0)

static inline int ngpc_read(const ngpc_driver *driver, uint32_t address, uint32_t *word) {
  return driver->transport->read(driver->transport->context, address, word) ? NGPC_BUS_ERROR : NGPC_OK;
}

static inline int ngpc_write(const ngpc_driver *driver, uint32_t address, uint32_t word) {
  return driver->transport->write(driver->transport->context, address, word) ? NGPC_BUS_ERROR : NGPC_OK;
}

/* See that what answers is the build of ngpc_build.h. The transport must outlive the driver. */
static inline int ngpc_open(ngpc_driver *driver, const ngpc_transport *transport) {
  uint32_t word = 0;
  memset(driver, 0, sizeof *driver);
  driver->transport = transport;
  NGPC_TRY(ngpc_read(driver, NGPC_ADDRESS(id), &word));
  if (word != NGPC__ID__VALUE_reset) return NGPC_NO_CLUSTER;
  NGPC_TRY(ngpc_read(driver, NGPC_ADDRESS(version), &word));
  if (NGPC_FIELD(word, NGPC__VERSION__MAJOR) != NGPC__VERSION__MAJOR_reset) return NGPC_OTHER_MAP;
  NGPC_TRY(ngpc_read(driver, NGPC_ADDRESS(config_hash), &word));
  if (word != NGPC__CONFIG_HASH__VALUE_reset) return NGPC_OTHER_BUILD;
  return NGPC_OK;
}

static inline uint32_t ngpc_word_at(const uint8_t *bytes) {
  return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* The field in the bytes of a file of `ngpc image`, which must stay until it is loaded. */
static inline int ngpc_field_of(const uint8_t *file, size_t bytes, ngpc_field *field) {
  size_t header;
  uint32_t scale;
  memset(field, 0, sizeof *field);
  if (bytes < 32 || memcmp(file, "NGPC", 4) || (ngpc_word_at(file + 4) & 0xffff) != 1) return NGPC_NO_FILE;
  header = ngpc_word_at(file + 4) >> 16;
  if (header < 32 || header > bytes) return NGPC_NO_FILE;
  if (ngpc_word_at(file + 8) != NGPC__CONFIG_HASH__VALUE_reset) return NGPC_OTHER_BUILD;
  field->count = ngpc_word_at(file + 12);
  if (!field->count || (bytes - header) % NGPC_BUILD_LOAD_BYTES ||
      (bytes - header) / NGPC_BUILD_LOAD_BYTES != field->count)
    return NGPC_NO_FILE;
  field->words = file + header;
  field->pos_dims = file[16];
  field->outputs = file[17];
  field->takes_side = file[18];
  scale = ngpc_word_at(file + 20);
  memcpy(&field->output_scale, &scale, sizeof scale);
  scale = ngpc_word_at(file + 24);
  memcpy(&field->direction_scale, &scale, sizeof scale);
  return NGPC_OK;
}

/* Put a field into all processors. Its words may go afterwards; a reset of the hardware forgets it. */
static inline int ngpc_load(ngpc_driver *driver, const ngpc_field *field) {
  if (!field->count || field->pos_dims < 2 || field->pos_dims > NGPC_BUILD_POS_DIMS || field->outputs < 1 ||
      field->outputs > NGPC_BUILD_MAX_OUTPUTS || (field->takes_side && !NGPC_BUILD_SIDE_INPUTS))
    return NGPC_INVALID;
  if (driver->transport->send_load(driver->transport->context, field->words, field->count)) return NGPC_BUS_ERROR;
  driver->field = *field;
  driver->field.words = NULL;
  return NGPC_OK;
}

/* Send points, the last one marked so, and take every result.
 *
 * coordinates: count * pos_dims raw coordinates, 0 to 2^23; the bits of fp32 numbers for a build of fp16
 * side: count * NGPC_BUILD_SIDE_INPUTS raw codes for a field that takes them, else NULL
 * outputs: count * outputs raw results, 0 where errors
 * errors: count bytes, 1 where the point's processor failed
 * work: NGPC_WORK_BYTES(count)
 */
static inline int ngpc_run(const ngpc_driver *driver, const uint32_t *coordinates, const int16_t *side, size_t count,
                           int16_t *outputs, uint8_t *errors, uint8_t *work) {
  const unsigned dims = driver->field.pos_dims, wanted = driver->field.outputs;
  uint8_t *points = work, *results = work + count * NGPC_BUILD_POINT_BYTES;
  uint8_t *last = results + count * NGPC_BUILD_RESULT_BYTES;
  size_t number;
  unsigned index, byte;
  if (!dims) return NGPC_NO_FIELD;
  if (!count || (side != NULL) != (driver->field.takes_side != 0)) return NGPC_INVALID;
  for (number = 0; number < count * dims; number++)
    if (!NGPC_BUILD_FLOATING && coordinates[number] > UINT32_C(1) << 23) return NGPC_INVALID;
  for (number = 0; side && NGPC_BUILD_VALUE_BYTES == 1 && number < count * NGPC_BUILD_SIDE_INPUTS; number++)
    if (side[number] < -128 || side[number] > 127) return NGPC_INVALID;
  memset(points, 0, count * NGPC_BUILD_POINT_BYTES);
  for (number = 0; number < count; number++) {
    uint8_t *point = points + number * NGPC_BUILD_POINT_BYTES;
    for (index = 0; index < dims; index++)
      for (byte = 0; byte < 4; byte++)
        point[4 * index + byte] = (uint8_t)(coordinates[number * dims + index] >> 8 * byte);
    for (index = 0; side && index < NGPC_BUILD_SIDE_INPUTS; index++) {
      uint16_t value = (uint16_t)side[number * NGPC_BUILD_SIDE_INPUTS + index];
      for (byte = 0; byte < NGPC_BUILD_VALUE_BYTES; byte++)
        point[NGPC_BUILD_SIDE_BYTE + index * NGPC_BUILD_VALUE_BYTES + byte] = (uint8_t)(value >> 8 * byte);
    }
  }
  if (driver->transport->exchange(driver->transport->context, points, count, results, last, errors))
    return NGPC_BUS_ERROR;
  for (number = 0; number < count; number++) {
    const uint8_t *result = results + number * NGPC_BUILD_RESULT_BYTES;
    if ((last[number] != 0) != (number == count - 1)) return NGPC_WRONG_END;
    for (index = 0; index < wanted; index++) {
      if (NGPC_BUILD_VALUE_BYTES == 1)
        outputs[number * wanted + index] = (int8_t)result[index];
      else
        outputs[number * wanted + index] = (int16_t)(uint16_t)(result[2 * index] | result[2 * index + 1] << 8);
    }
  }
  return NGPC_OK;
}

/* All counters at one clock. */
static inline int ngpc_read_counters(const ngpc_driver *driver, ngpc_counters *counters) {
  NGPC_TRY(ngpc_write(driver, NGPC_ADDRESS(control), NGPC__CONTROL__SNAPSHOT_bm));
  NGPC_TRY(ngpc_read(driver, NGPC_ADDRESS(points), &counters->points));
  NGPC_TRY(ngpc_read(driver, NGPC_ADDRESS(results), &counters->results));
  NGPC_TRY(ngpc_read(driver, NGPC_ADDRESS(busy), &counters->busy));
  NGPC_TRY(ngpc_read(driver, NGPC_ADDRESS(encoding_limits), &counters->encoding_limits));
  NGPC_TRY(ngpc_read(driver, NGPC_ADDRESS(mlp_limits), &counters->mlp_limits));
  NGPC_TRY(ngpc_read(driver, NGPC_ADDRESS(source_waits), &counters->source_waits));
  return ngpc_read(driver, NGPC_ADDRESS(sink_waits), &counters->sink_waits);
}

/* Whether points or load words are inside. */
static inline int ngpc_is_busy(const ngpc_driver *driver, int *busy) {
  uint32_t word = 0;
  NGPC_TRY(ngpc_read(driver, NGPC_ADDRESS(status), &word));
  *busy = word != 0;
  return NGPC_OK;
}

/* Bit k: processor k, of the first 32, has failed. */
static inline int ngpc_failed(const ngpc_driver *driver, uint32_t *mask) {
  return ngpc_read(driver, NGPC_ADDRESS(failed), mask);
}

/* Clocks without a result after which a processor with work counts as failed; 0: never. */
static inline int ngpc_set_watchdog(const ngpc_driver *driver, uint32_t clocks) {
  return ngpc_write(driver, NGPC_ADDRESS(watchdog), clocks);
}

/* Let these events, NGPC__IRQ_STATUS__*_bm, and no others raise the interrupt line. */
static inline int ngpc_enable_interrupts(const ngpc_driver *driver, uint32_t events) {
  return ngpc_write(driver, NGPC_ADDRESS(irq_enable), events);
}

/* Events that happened since they were last taken; clears them. */
static inline int ngpc_take_interrupts(const ngpc_driver *driver, uint32_t *events) {
  NGPC_TRY(ngpc_read(driver, NGPC_ADDRESS(irq_status), events));
  return ngpc_write(driver, NGPC_ADDRESS(irq_status), *events);
}

/* Put a program, as load words, into the scheduler unit. */
static inline int ngpc_load_program(const ngpc_driver *driver, const uint8_t *words, size_t count) {
  if (!NGPC_BUILD_SCHEDULER) return NGPC_NO_SCHEDULER;
  return driver->transport->send_load(driver->transport->context, words, count) ? NGPC_BUS_ERROR : NGPC_OK;
}

/* Whether runs of points wait for nano-operations; for a cluster that is not busy. */
static inline int ngpc_set_scheduled(const ngpc_driver *driver, int scheduled) {
  if (!NGPC_BUILD_SCHEDULER) return NGPC_NO_SCHEDULER;
  return ngpc_write(driver, NGPC_ADDRESS(program_control), scheduled ? NGPC__PROGRAM_CONTROL__SCHEDULED_bm : 0);
}

/* Start the loaded program, with runs of points waiting for its nano-operations. */
static inline int ngpc_start_program(const ngpc_driver *driver) {
  if (!NGPC_BUILD_SCHEDULER) return NGPC_NO_SCHEDULER;
  return ngpc_write(driver, NGPC_ADDRESS(program_control),
                    NGPC__PROGRAM_CONTROL__SCHEDULED_bm | NGPC__PROGRAM_CONTROL__START_bm);
}

/* What the scheduler unit does now. */
static inline int ngpc_read_program(const ngpc_driver *driver, ngpc_program_status *status) {
  uint32_t word = 0, high = 0, low = 0;
  NGPC_TRY(ngpc_write(driver, NGPC_ADDRESS(control), NGPC__CONTROL__SNAPSHOT_bm));
  NGPC_TRY(ngpc_read(driver, NGPC_ADDRESS(program_status), &word));
  NGPC_TRY(ngpc_read(driver, NGPC_ADDRESS(program_clocks_high), &high));
  NGPC_TRY(ngpc_read(driver, NGPC_ADDRESS(program_clocks), &low));
  status->busy = NGPC_FIELD(word, NGPC__PROGRAM_STATUS__BUSY);
  status->refused = NGPC_FIELD(word, NGPC__PROGRAM_STATUS__REFUSED);
  status->fault = NGPC_FIELD(word, NGPC__PROGRAM_STATUS__FAULT);
  status->fault_index = NGPC_FIELD(word, NGPC__PROGRAM_STATUS__FAULT_INDEX);
  status->protocol_error = NGPC_FIELD(word, NGPC__PROGRAM_STATUS__PROTOCOL_ERROR);
  status->run_index = NGPC_FIELD(word, NGPC__PROGRAM_STATUS__RUN_ACTIVE)
                          ? (int)NGPC_FIELD(word, NGPC__PROGRAM_STATUS__RUN_INDEX)
                          : -1;
  status->clocks = (uint64_t)high << 32 | low;
  return NGPC_OK;
}

/* The functions below are for builds whose scheduler unit supervises units. */

static inline int ngpc_check_unit(unsigned unit) {
  if (!NGPC_BUILD_SUPERVISED) return NGPC_NOT_SUPERVISED;
  return unit < NGPC_BUILD_UNITS ? NGPC_OK : NGPC_INVALID;
}

/* End the program, with discard without waiting for what is in flight; the event ABORTED follows. */
static inline int ngpc_abort_program(const ngpc_driver *driver, int discard) {
  NGPC_TRY(ngpc_check_unit(0));
  return ngpc_write(driver, NGPC_ADDRESS(program_control),
                    NGPC__PROGRAM_CONTROL__SCHEDULED_bm | NGPC__PROGRAM_CONTROL__ABORT_bm |
                        (discard ? NGPC__PROGRAM_CONTROL__DISCARD_bm : 0));
}

/* What a unit of the scheduler stands at now. */
static inline int ngpc_read_unit(const ngpc_driver *driver, unsigned unit, ngpc_unit_status *status) {
  uint32_t word = 0;
  NGPC_TRY(ngpc_check_unit(unit));
  NGPC_TRY(ngpc_write(driver, NGPC_ADDRESS(unit_select), (uint32_t)unit << NGPC__UNIT_SELECT__UNIT_bp));
  NGPC_TRY(ngpc_read(driver, NGPC_ADDRESS(unit_status), &word));
  status->state = NGPC_FIELD(word, NGPC__UNIT_STATUS__STATE);
  status->cause = NGPC_FIELD(word, NGPC__UNIT_STATUS__CAUSE);
  status->attempt = NGPC_FIELD(word, NGPC__UNIT_STATUS__ATTEMPT);
  status->index = NGPC_FIELD(word, NGPC__UNIT_STATUS__INDEX);
  status->iteration = NGPC_FIELD(word, NGPC__UNIT_STATUS__ITERATION);
  return NGPC_OK;
}

/* Bit u: unit u is in error status. */
static inline int ngpc_failed_units(const ngpc_driver *driver, uint32_t *mask) {
  NGPC_TRY(ngpc_check_unit(0));
  NGPC_TRY(ngpc_read(driver, NGPC_ADDRESS(unit_progress), mask));
  *mask = NGPC_FIELD(*mask, NGPC__UNIT_PROGRESS__FAILED);
  return NGPC_OK;
}

/* Iterations in which the descriptor at that place of the order of choice has been issued; 0 while idle. */
static inline int ngpc_issued(const ngpc_driver *driver, unsigned place, uint32_t *iterations) {
  NGPC_TRY(ngpc_check_unit(0));
  if (place >= 1u << NGPC__UNIT_SELECT__PLACE_bw) return NGPC_INVALID;
  NGPC_TRY(ngpc_write(driver, NGPC_ADDRESS(unit_select), (uint32_t)place << NGPC__UNIT_SELECT__PLACE_bp));
  NGPC_TRY(ngpc_read(driver, NGPC_ADDRESS(unit_progress), iterations));
  *iterations = NGPC_FIELD(*iterations, NGPC__UNIT_PROGRESS__ISSUED);
  return NGPC_OK;
}

/* Decide for a unit; nothing happens if it is not in error status. */
static inline int ngpc_decide(const ngpc_driver *driver, unsigned unit, ngpc_decision decision) {
  NGPC_TRY(ngpc_check_unit(unit));
  return ngpc_write(driver, NGPC_ADDRESS(unit_decision),
                    ((uint32_t)unit << NGPC__UNIT_DECISION__UNIT_bp) | (uint32_t)decision);
}

/* Clocks in which a nano-operation of that unit must complete; 0: for ever. */
static inline int ngpc_set_unit_limit(const ngpc_driver *driver, unsigned unit, uint32_t clocks) {
  NGPC_TRY(ngpc_check_unit(unit));
  if ((uint64_t)clocks >> NGPC_BUILD_WATCHDOG_BITS) return NGPC_INVALID;
  return ngpc_write(driver, NGPC_ADDRESS(unit0_limit) + 4 * (uint32_t)unit, clocks);
}

/* Whether what fails is dropped at once. */
static inline int ngpc_drop_failures(const ngpc_driver *driver, int drop) {
  NGPC_TRY(ngpc_check_unit(0));
  return ngpc_write(driver, NGPC_ADDRESS(unit_policy), drop ? NGPC__UNIT_POLICY__DROP_FAILED_bm : 0);
}

/* Nano-operations dropped since the program began. */
static inline int ngpc_dropped(const ngpc_driver *driver, uint32_t *count) {
  NGPC_TRY(ngpc_check_unit(0));
  return ngpc_read(driver, NGPC_ADDRESS(dropped), count);
}

#endif /* NGPC_DRIVER_H */
