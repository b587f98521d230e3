/* ADBC from C: the Flight SQL driver's own library, without a driver manager and without Python. Ends with 0 where all is well.
   Environment: FLIGHT (host:port), and FLIGHT_PASSWORD of the user meridian where one is asked for. */
#include <arrow-adbc/adbc.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 100000
#define T0 INT64_C(1704067200000000)

static void fail(const char *what, struct AdbcError *error) {
  fprintf(stderr, "%s: %s\n", what, error && error->message ? error->message : "not as expected");
  exit(1);
}
#define WANT(condition) do { if (!(condition)) fail(#condition, NULL); } while (0)
#define DO(call) do { struct AdbcError error = ADBC_ERROR_INIT; if ((call) != ADBC_STATUS_OK) fail(#call, &error); } while (0)

/* A call that must fail: its message and its detail "sqlstate" name the state. */
#define REFUSED(call, state) do { struct AdbcError error = ADBC_ERROR_INIT; error.vendor_code = ADBC_ERROR_VENDOR_CODE_PRIVATE_DATA; \
  if ((call) == ADBC_STATUS_OK) { fail(#call " was done", NULL); } else { told(&error, state); } } while (0)

static void told(struct AdbcError *error, const char *state) {
  int found = 0;
  if (!error->message || !strstr(error->message, state)) fail(state, error);
  for (int at = 0; at < AdbcErrorGetDetailCount(error); at++) {
    struct AdbcErrorDetail detail = AdbcErrorGetDetail(error, at);
    found |= !strcmp(detail.key, "sqlstate") && detail.value_length == 5 && !memcmp(detail.value, state, 5);
  }
  if (!found) fail("the detail sqlstate", error);
  error->release(error);
}

/* Arrow's C data interface, by hand: what is made here lives to the end of the program. */
static void keep_schema(struct ArrowSchema *schema) { schema->release = NULL; }
static void keep_array(struct ArrowArray *array) { array->release = NULL; }

static struct ArrowSchema field(const char *name, const char *format) {
  struct ArrowSchema made = {.format = format, .name = name, .release = keep_schema};
  return made;
}

static struct ArrowArray column(int64_t rows, int64_t buffers, const void **data) {
  struct ArrowArray made = {.length = rows, .n_buffers = buffers, .buffers = data, .release = keep_array};
  return made;
}

/* Samples of one tag: time T0 + n seconds, value n / 4. */
static void samples(const char *tag, int64_t rows, struct ArrowSchema *schema, struct ArrowArray *array) {
  size_t length = strlen(tag);
  int32_t *offsets = malloc(sizeof *offsets * (rows + 1));
  char *bytes = malloc(length * rows);
  int64_t *times = malloc(sizeof *times * rows);
  double *values = malloc(sizeof *values * rows);
  offsets[0] = 0;
  for (int64_t n = 0; n < rows; n++) {
    memcpy(bytes + n * length, tag, length);
    offsets[n + 1] = (int32_t)((n + 1) * length);
    times[n] = T0 + n * 1000000;
    values[n] = n / 4.0;
  }
  const void **text = calloc(3, sizeof *text), **time = calloc(2, sizeof *time), **value = calloc(2, sizeof *value), **none = calloc(1, sizeof *none);
  text[1] = offsets, text[2] = bytes, time[1] = times, value[1] = values;
  struct ArrowSchema *fields = calloc(3, sizeof *fields), **fields_of = calloc(3, sizeof *fields_of);
  struct ArrowArray *columns = calloc(3, sizeof *columns), **columns_of = calloc(3, sizeof *columns_of);
  fields[0] = field("tag", "u"), fields[1] = field("time", "tsu:UTC"), fields[2] = field("value", "g");
  columns[0] = column(rows, 3, text), columns[1] = column(rows, 2, time), columns[2] = column(rows, 2, value);
  for (int at = 0; at < 3; at++) fields_of[at] = &fields[at], columns_of[at] = &columns[at];
  *schema = field("", "+s"), schema->n_children = 3, schema->children = fields_of;
  *array = column(rows, 1, none), array->n_children = 3, array->children = columns_of;
}

/* Runs a query; calls back for each batch. */
static int64_t query(struct AdbcConnection *connection, const char *sql, void (*each)(struct ArrowArray *)) {
  struct AdbcStatement statement = {0};
  struct ArrowArrayStream stream = {0};
  struct ArrowSchema schema;
  struct ArrowArray batch;
  int64_t rows = 0;
  DO(AdbcStatementNew(connection, &statement, &error));
  DO(AdbcStatementSetSqlQuery(&statement, sql, &error));
  DO(AdbcStatementExecuteQuery(&statement, &stream, NULL, &error));
  WANT(stream.get_schema(&stream, &schema) == 0);
  schema.release(&schema);
  for (;;) {
    if (stream.get_next(&stream, &batch)) fail(stream.get_last_error(&stream), NULL);
    if (!batch.release) break;
    rows += batch.length;
    if (each) each(&batch);
    batch.release(&batch);
  }
  stream.release(&stream);
  DO(AdbcStatementRelease(&statement, &error));
  return rows;
}

static double total;
static int64_t next_time = T0;

static void add(struct ArrowArray *batch) {
  const struct ArrowArray *times = batch->children[0], *values = batch->children[1];
  for (int64_t row = 0; row < batch->length; row++) {
    WANT(((const int64_t *)times->buffers[1])[times->offset + row] == next_time);
    total += ((const double *)values->buffers[1])[values->offset + row];
    next_time += 1000000;
  }
}

static int64_t counted;
static void count(struct ArrowArray *batch) { counted = ((const int64_t *)batch->children[0]->buffers[1])[batch->children[0]->offset]; }

static void connect(const char *password, struct AdbcDatabase *database, struct AdbcConnection *connection) {
  char uri[256];
  snprintf(uri, sizeof uri, "grpc://%s", getenv("FLIGHT"));
  DO(AdbcDatabaseNew(database, &error));
  DO(AdbcDatabaseSetOption(database, "uri", uri, &error));
  if (password) {
    DO(AdbcDatabaseSetOption(database, "username", "meridian", &error));
    DO(AdbcDatabaseSetOption(database, "password", password, &error));
  }
  DO(AdbcDatabaseInit(database, &error));
  DO(AdbcConnectionNew(connection, &error));
}

int main(void) {
  struct AdbcDatabase database = {0};
  struct AdbcConnection connection = {0};
  struct AdbcStatement statement = {0};
  struct ArrowSchema schema;
  struct ArrowArray array;
  struct ArrowArrayStream stream = {0};
  int64_t rows = 0;
  const char *password = getenv("FLIGHT_PASSWORD");
  connect(password, &database, &connection);
  DO(AdbcConnectionInit(&connection, &database, &error));

  /* An update, and its count. */
  DO(AdbcStatementNew(&connection, &statement, &error));
  DO(AdbcStatementSetSqlQuery(&statement, "INSERT INTO tags (name, kind) VALUES ('d.1', 'f64'), ('d.2', 'f64')", &error));
  DO(AdbcStatementExecuteQuery(&statement, NULL, &rows, &error));
  WANT(rows == 2);

  /* A prepared statement: what it takes, and several rows of it. */
  DO(AdbcStatementSetSqlQuery(&statement, "INSERT INTO samples (tag, time, value) VALUES ($1, $2, $3)", &error));
  DO(AdbcStatementPrepare(&statement, &error));
  DO(AdbcStatementGetParameterSchema(&statement, &schema, &error));
  WANT(schema.n_children == 3 && !strcmp(schema.children[0]->format, "u") && !strcmp(schema.children[1]->format, "tsu:UTC"));
  schema.release(&schema);
  samples("d.2", 3, &schema, &array);
  DO(AdbcStatementBind(&statement, &array, &schema, &error));
  DO(AdbcStatementExecuteQuery(&statement, NULL, &rows, &error));
  WANT(rows == 3);
  DO(AdbcStatementRelease(&statement, &error));

  /* Bulk ingestion, and the rows back in order. */
  DO(AdbcStatementNew(&connection, &statement, &error));
  DO(AdbcStatementSetOption(&statement, ADBC_INGEST_OPTION_TARGET_TABLE, "samples", &error));
  DO(AdbcStatementSetOption(&statement, ADBC_INGEST_OPTION_MODE, ADBC_INGEST_OPTION_MODE_APPEND, &error));
  samples("d.1", ROWS, &schema, &array);
  DO(AdbcStatementBind(&statement, &array, &schema, &error));
  DO(AdbcStatementExecuteQuery(&statement, NULL, &rows, &error));
  WANT(rows == ROWS);
  DO(AdbcStatementSetOption(&statement, ADBC_INGEST_OPTION_MODE, ADBC_INGEST_OPTION_MODE_CREATE, &error));
  samples("d.1", 1, &schema, &array);
  DO(AdbcStatementBind(&statement, &array, &schema, &error));
  REFUSED(AdbcStatementExecuteQuery(&statement, NULL, &rows, &error), "0A000");
  DO(AdbcStatementRelease(&statement, &error));
  WANT(query(&connection, "SELECT time, value FROM samples WHERE tag = 'd.1' ORDER BY time", add) == ROWS);
  WANT(total == (double)ROWS * (ROWS - 1) / 8);
  query(&connection, "SELECT count(*) FROM samples WHERE tag = 'd.2'", count);
  WANT(counted == 3);

  /* What there is. */
  DO(AdbcConnectionGetTableSchema(&connection, NULL, "public", "samples", &schema, &error));
  WANT(schema.n_children == 4 && !strcmp(schema.children[2]->name, "value") && !strcmp(schema.children[2]->format, "g"));
  schema.release(&schema);
  DO(AdbcConnectionGetObjects(&connection, ADBC_OBJECT_DEPTH_ALL, NULL, NULL, NULL, NULL, NULL, &stream, &error));
  stream.release(&stream);

  /* What is wrong is said, and the connection goes on. */
  DO(AdbcStatementNew(&connection, &statement, &error));
  DO(AdbcStatementSetSqlQuery(&statement, "SELECT * FROM nothing", &error));
  REFUSED(AdbcStatementExecuteQuery(&statement, &stream, NULL, &error), "42P01");
  DO(AdbcStatementSetSqlQuery(&statement, "SELEC 1", &error));
  REFUSED(AdbcStatementExecuteQuery(&statement, &stream, NULL, &error), "42601");
  DO(AdbcStatementRelease(&statement, &error));
  WANT(query(&connection, "SELECT 1", NULL) == 1);
  DO(AdbcConnectionRelease(&connection, &error));
  DO(AdbcDatabaseRelease(&database, &error));

  if (password) {
    struct AdbcError error = ADBC_ERROR_INIT;
    memset(&database, 0, sizeof database);
    memset(&connection, 0, sizeof connection);
    connect("wrong", &database, &connection);
    WANT(AdbcConnectionInit(&connection, &database, &error) == ADBC_STATUS_UNAUTHENTICATED);
    WANT(strstr(error.message, "password authentication failed"));
  }
  return 0;
}
