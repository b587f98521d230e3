// JDBC against a real server: DatabaseMetaData, types both ways, batches, portions, COPY, errors. Run as `java -cp JAR Jdbc.java`.

import java.io.StringReader;
import java.io.StringWriter;
import java.sql.*;
import java.time.*;
import java.util.*;
import org.postgresql.PGConnection;
import org.postgresql.util.PSQLException;

public class Jdbc {
    static final OffsetDateTime T0 = OffsetDateTime.of(2024, 1, 1, 0, 0, 0, 0, ZoneOffset.UTC);
    static final String ADDRESS = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE");

    static Connection open(String words) throws SQLException {
        return DriverManager.getConnection(ADDRESS + words, System.getenv("PGUSER"), "");
    }

    static void same(Object found, Object expected, String what) {
        if (!Objects.equals(found, expected)) throw new AssertionError(what + ": found " + found + ", expected " + expected);
    }

    /** One column of every row, in order. */
    static List<String> column(ResultSet rows, String name) throws SQLException {
        List<String> out = new ArrayList<>();
        while (rows.next()) out.add(rows.getString(name));
        rows.close();
        return out;
    }

    static int count(ResultSet rows) throws SQLException {
        int count = 0;
        while (rows.next()) count++;
        rows.close();
        return count;
    }

    static void metadata(Connection c) throws SQLException {
        DatabaseMetaData m = c.getMetaData();
        same(m.getDatabaseProductName(), "PostgreSQL", "product");
        same(column(m.getCatalogs(), "TABLE_CAT"), List.of("meridian"), "catalogs");
        List<String> schemas = column(m.getSchemas(), "TABLE_SCHEM");
        if (!schemas.containsAll(List.of("information_schema", "meridian", "pg_catalog", "public"))) throw new AssertionError("schemas " + schemas);
        same(column(m.getSchemas(null, "pub%"), "TABLE_SCHEM"), List.of("public"), "schemas by pattern");
        same(column(m.getTables(null, "public", "%", new String[] {"TABLE"}), "TABLE_NAME"), List.of("events", "integers", "samples", "tags"), "tables");
        same(column(m.getTables(null, "public", "%", new String[] {"VIEW"}), "TABLE_NAME"), List.of("latest"), "views");
        same(column(m.getTables(null, "pg_catalog", "pg\\_clas_", null), "TABLE_TYPE"), List.of("SYSTEM TABLE"), "system tables");
        if (!column(m.getTables(null, null, "samples", null), "REMARKS").get(0).contains("samples")) throw new AssertionError("a table's remarks");
        ResultSet columns = m.getColumns(null, "public", "samples", null);
        StringBuilder found = new StringBuilder();
        while (columns.next()) {
            found.append(columns.getString("COLUMN_NAME")).append(' ').append(columns.getString("TYPE_NAME")).append(' ').append(columns.getInt("DATA_TYPE"))
                .append(' ').append(columns.getString("IS_NULLABLE")).append(' ').append(columns.getString("COLUMN_DEF")).append(' ').append(columns.getInt("ORDINAL_POSITION")).append(';');
        }
        same(found.toString(), "tag text 12 NO null 1;time timestamptz 93 NO now() 2;value float8 8 NO null 3;quality int2 5 NO 192 4;", "columns");
        same(column(m.getColumns(null, "public", "tags", "states"), "TYPE_NAME"), List.of("_text"), "an array's column");
        ResultSet keys = m.getPrimaryKeys(null, "public", "samples");
        found.setLength(0);
        while (keys.next()) found.append(keys.getString("COLUMN_NAME")).append(keys.getInt("KEY_SEQ")).append(keys.getString("PK_NAME")).append(';');
        same(found.toString(), "tag1samples_pkey;time2samples_pkey;", "primary key");
        same(count(m.getPrimaryKeys(null, "public", "latest")), 0, "a view's key");
        ResultSet foreign = m.getImportedKeys(null, "public", "samples");
        if (!foreign.next()) throw new AssertionError("no foreign key");
        same(foreign.getString("PKTABLE_NAME") + foreign.getString("PKCOLUMN_NAME") + foreign.getString("FKCOLUMN_NAME") + foreign.getInt("DELETE_RULE"), "tagsnametag" + DatabaseMetaData.importedKeyCascade, "foreign key");
        same(column(m.getExportedKeys(null, "public", "tags"), "FKTABLE_NAME"), List.of("events", "integers", "samples"), "exported keys");
        same(column(m.getIndexInfo(null, "public", "samples", true, true), "COLUMN_NAME"), List.of("tag", "time"), "index");
        same(column(m.getBestRowIdentifier(null, "public", "samples", DatabaseMetaData.bestRowSession, false), "COLUMN_NAME"), List.of("tag", "time"), "row identifier");
        if (!column(m.getTypeInfo(), "TYPE_NAME").containsAll(List.of("int8", "text", "timestamptz", "float8", "bool", "_text"))) throw new AssertionError("types");
        if (!column(m.getFunctions(null, null, "values_at"), "FUNCTION_NAME").contains("values_at")) throw new AssertionError("functions");
        if (!m.getSQLKeywords().contains("analyse")) throw new AssertionError("keywords " + m.getSQLKeywords());
        same(m.getMaxColumnsInIndex(), 32, "columns of an index");
    }

    static void types(Connection c) throws SQLException {
        try (PreparedStatement p = c.prepareStatement("INSERT INTO tags(name, kind, unit) VALUES (?, ?, ?)")) {
            for (String[] tag : new String[][] {{"jd.u", "f64", "kV"}, {"jd.i", "i64", ""}, {"jd.t", "text", ""}}) {
                for (int at = 0; at < 3; at++) p.setString(at + 1, tag[at]);
                p.addBatch();
            }
            same(Arrays.toString(p.executeBatch()), "[1, 1, 1]", "tags");
        }
        try (PreparedStatement p = c.prepareStatement("INSERT INTO samples(tag, time, value) VALUES (?, ?, ?)")) {
            for (int i = 0; i < 1000; i++) {
                p.setString(1, "jd.u");
                p.setObject(2, T0.plusSeconds(i));
                p.setDouble(3, i / 2.0);
                p.addBatch();
            }
            same(Arrays.stream(p.executeBatch()).sum(), 1000, "a batch");
            p.setString(1, "jd.u");
            p.setTimestamp(2, Timestamp.from(Instant.parse("2025-01-01T00:00:00Z")));
            p.setDouble(3, 7);
            same(p.executeUpdate(), 1, "a row");
        }
        // The driver prepares at the fifth execution, and asks for binary rows then.
        try (PreparedStatement p = c.prepareStatement("SELECT tag, time, value, quality, value > 1 AS big FROM samples WHERE tag = ? AND time >= ? ORDER BY time")) {
            for (int i = 0; i < 12; i++) {
                p.setString(1, "jd.u");
                p.setObject(2, T0.plusSeconds(3));
                try (ResultSet rows = p.executeQuery()) {
                    rows.next();
                    same(rows.getString(1) + rows.getObject(2, OffsetDateTime.class) + rows.getDouble(3) + rows.getInt("quality") + rows.getBoolean(5), "jd.u" + T0.plusSeconds(3) + "1.5192true", "execution " + i);
                    same(rows.getTimestamp(2).toInstant(), T0.plusSeconds(3).toInstant(), "timestamp");
                }
            }
            ResultSetMetaData m = p.getMetaData();
            StringBuilder found = new StringBuilder();
            for (int i = 1; i <= m.getColumnCount(); i++) found.append(m.getColumnName(i)).append(' ').append(m.getColumnTypeName(i)).append(';');
            same(found.toString(), "tag text;time timestamptz;value float8;quality int2;big bool;", "columns of rows");
            same(p.getParameterMetaData().getParameterTypeName(2), "timestamptz", "a parameter's type");
        }
        try (PreparedStatement p = c.prepareStatement("SELECT value FROM latest WHERE tag = ?")) {
            for (int i = 0; i < 8; i++) {
                p.setString(1, "jd.u");
                try (ResultSet rows = p.executeQuery()) {
                    rows.next();
                    same(rows.getDouble(1), 7.0, "newest value");
                }
            }
        }
        try (PreparedStatement p = c.prepareStatement("SELECT ?::timestamp, ?::date, ?::time, ?::float8, ?::bytea, ?::int8")) {
            p.setObject(1, LocalDateTime.of(2024, 1, 2, 3, 4, 5));
            p.setObject(2, LocalDate.of(1850, 1, 2));
            p.setObject(3, LocalTime.of(1, 2, 3));
            p.setNull(4, Types.DOUBLE);
            p.setBytes(5, new byte[] {0, -1});
            p.setLong(6, Long.MIN_VALUE);
            try (ResultSet rows = p.executeQuery()) {
                rows.next();
                same(rows.getObject(1, LocalDateTime.class), LocalDateTime.of(2024, 1, 2, 3, 4, 5), "timestamp");
                same(rows.getObject(2, LocalDate.class), LocalDate.of(1850, 1, 2), "date");
                same(rows.getObject(3, LocalTime.class), LocalTime.of(1, 2, 3), "time");
                same(rows.getObject(4), null, "NULL");
                same(Arrays.toString(rows.getBytes(5)), "[0, -1]", "bytes");
                same(rows.getLong(6), Long.MIN_VALUE, "a long");
            }
        }
        try (PreparedStatement p = c.prepareStatement("SELECT count(*), array_agg(value ORDER BY time), array_agg(DISTINCT tag) FROM samples WHERE tag = ANY (?) AND time < ?")) {
            p.setArray(1, c.createArrayOf("text", new String[] {"jd.u", "none"}));
            p.setObject(2, T0.plusSeconds(3));
            try (ResultSet rows = p.executeQuery()) {
                rows.next();
                same(rows.getInt(1), 3, "rows of an array");
                same(Arrays.toString((Object[]) rows.getArray(2).getArray()), "[0.0, 0.5, 1.0]", "an array");
                same(rows.getArray(3).getBaseTypeName(), "text", "an array's items");
            }
        }
    }

    static void reading(Connection c) throws SQLException, java.io.IOException {
        // Portions of a portal, within a block.
        c.setAutoCommit(false);
        try (Statement s = c.createStatement()) {
            s.setFetchSize(64);
            same(count(s.executeQuery("SELECT time, value FROM samples WHERE tag = 'jd.u'")), 1001, "rows in portions");
        }
        c.commit();
        c.setAutoCommit(true);
        try (Connection d = open("?reWriteBatchedInserts=true"); PreparedStatement p = d.prepareStatement("INSERT INTO samples(tag, time, value) VALUES (?, ?, ?)")) {
            for (int i = 0; i < 3000; i++) {
                p.setString(1, "jd.i");
                p.setObject(2, T0.plusSeconds(i));
                p.setLong(3, i);
                p.addBatch();
            }
            same(p.executeBatch().length, 3000, "a rewritten batch");
        }
        try (Statement s = c.createStatement()) {
            ResultSet rows = s.executeQuery("SELECT count(*), max(value) FROM integers WHERE tag = 'jd.i'");
            rows.next();
            same(rows.getLong(1) + " " + rows.getLong(2), "3000 2999", "what the batch wrote");
            s.setMaxRows(3);
            same(count(s.executeQuery("SELECT value FROM samples WHERE tag = 'jd.u'")), 3, "at most three rows");
            s.setMaxRows(0);
            rows = s.executeQuery("SELECT {ts '2024-01-02 03:04:05'}, {fn length('abc ')}, {d '2024-01-01'}, {fn concat('a', 'b')}");
            rows.next();
            same(rows.getInt(2) + rows.getString(4), "3ab", "escapes");
            s.execute("SELECT 1; SELECT 2");
            s.getMoreResults();
            rows = s.getResultSet();
            rows.next();
            same(rows.getInt(1), 2, "the second of two statements");
            s.setQueryTimeout(1);
            try {
                s.executeQuery("SELECT pg_sleep(60)");
                throw new AssertionError("a time limit passed unseen");
            } catch (SQLException e) {
                same(e.getSQLState(), "57014", "a time limit");
            }
        }
        var copy = c.unwrap(PGConnection.class).getCopyAPI();
        same(copy.copyIn("COPY samples(tag, time, value) FROM STDIN WITH (FORMAT csv)", new StringReader("jd.u,2026-01-01T00:00:00Z,1\njd.u,2026-01-02T00:00:00Z,2\n")), 2L, "COPY in");
        StringWriter out = new StringWriter();
        copy.copyOut("COPY (SELECT value FROM samples WHERE tag = 'jd.u' AND time >= '2026-01-01' ORDER BY time) TO STDOUT", out);
        same(out.toString(), "1\n2\n", "COPY out");
        try (Connection d = open("?preferQueryMode=simple"); PreparedStatement p = d.prepareStatement("SELECT value FROM samples WHERE tag = ? AND time = ?")) {
            p.setString(1, "jd.u");
            p.setObject(2, T0);
            same(column(p.executeQuery(), "value"), List.of("0"), "the simple protocol");
        }
    }

    static void session(Connection c) throws SQLException {
        same(c.isValid(10), true, "valid");
        same(c.getSchema(), "public", "schema");
        same(c.getTransactionIsolation(), Connection.TRANSACTION_READ_COMMITTED, "isolation");
        c.setReadOnly(true);
        c.setAutoCommit(false);
        try (Statement s = c.createStatement()) {
            s.executeUpdate("INSERT INTO samples(tag, time, value) VALUES ('jd.u', now(), 1)");
            throw new AssertionError("a read-only connection wrote");
        } catch (PSQLException e) {
            same(e.getSQLState(), "25006", "read only");
        }
        c.rollback();
        c.setAutoCommit(true);
        c.setReadOnly(false);
        try (Statement s = c.createStatement()) {
            s.executeQuery("SELECT tag,\n nothing FROM samples");
            throw new AssertionError("a column that is not there was found");
        } catch (PSQLException e) {
            same(e.getSQLState() + " " + e.getServerErrorMessage().getPosition(), "42703 14", "an error's place");
        }
    }

    public static void main(String[] words) throws Exception {
        try (Connection c = open("")) {
            metadata(c);
            types(c);
            reading(c);
            session(c);
        }
    }
}
